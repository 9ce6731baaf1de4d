"""Numbers from a trained model: what its parts carry, and what it would lose without them."""
