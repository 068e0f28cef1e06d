"""The fast engine: candidates of any precision and sparsity trained by one compiled TensorFlow program."""
