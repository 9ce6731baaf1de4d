"""Rankings without item vectors: one number a row."""
