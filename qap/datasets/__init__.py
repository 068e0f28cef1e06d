"""Datasets: features on a fixed-point grid, labels or targets, a fixed split."""
