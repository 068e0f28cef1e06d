"""Conversion rules, one module per layer family; importing this package registers them."""

from qap.firmware.rules import activations, dense

__all__ = ["activations", "dense"]
