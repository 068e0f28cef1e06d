"""Search over plans: space, strategies, the study on disk."""
