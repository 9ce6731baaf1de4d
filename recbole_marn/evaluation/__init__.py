"""Metrics, popularity levels and significance of collected scores, on NumPy and SciPy alone."""
