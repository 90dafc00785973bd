"""Scalar operations as expressions of simpler ones, for machines that have no instruction."""
