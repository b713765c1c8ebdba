"""cvi: compile neural networks for the TPUs of the CV18xx chips."""

__version__ = "0.1.0"
