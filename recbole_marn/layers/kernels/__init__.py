"""Kernels: the fast form of an operation, with what it needs of layout and precision."""
