"""Plots as SVG text, drawn from numbers alone."""
