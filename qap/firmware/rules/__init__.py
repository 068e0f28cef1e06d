"""Conversion rules, one module per layer family; importing this package registers them."""

from qap.firmware.rules import activations, convolution, dense, merge, normalisation, pooling, shape

__all__ = ["activations", "convolution", "dense", "merge", "normalisation", "pooling", "shape"]
