"""Sliding windows: convolution, pooling, signals."""
