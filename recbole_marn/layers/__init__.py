"""Arithmetic only: layers take numbers and tensors, import torch and each other, and never heard of a setting."""
