"""Compression methods, one module each."""
