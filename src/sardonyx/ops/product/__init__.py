"""Sums of products: matrices, einsum, linear algebra."""
