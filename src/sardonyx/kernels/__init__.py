"""Strategies that make kernels fast."""
