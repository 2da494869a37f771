"""Freshet keeps a PyTorch model current with its stream."""

__version__ = "0.1.0"
