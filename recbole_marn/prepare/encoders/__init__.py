"""Photos and titles to vectors; each encoder is imported only when it is asked for."""
