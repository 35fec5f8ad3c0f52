"""Deep energy-based models on MNIST you can trust."""

__version__ = "0.1.0"
