"""Subgraphs and sequences."""
