"""Graphs into kernels: what is read through what, and what is launched."""
