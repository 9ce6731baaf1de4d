"""Training of every model on our rows: one process or several, checkpoints, resume, records."""
