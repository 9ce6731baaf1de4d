"""The version of this package, kept apart so that packaging can read it without importing RecBole."""

__version__ = "0.1.0"
