"""Search of settings, selected on validation: by RecBole's HyperTuning, or by Ray Tune."""
