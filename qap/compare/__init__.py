"""Compression methods side by side on the same data, architecture and budget."""
