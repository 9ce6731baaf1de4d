"""Models: wiring only, one file each."""
