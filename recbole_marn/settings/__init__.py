"""Settings: YAML and command-line keys as frozen dataclasses."""
