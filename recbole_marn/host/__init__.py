"""What RecBole 1.2.1 needs on today's libraries, and how its Config is built for a run on our rows."""
