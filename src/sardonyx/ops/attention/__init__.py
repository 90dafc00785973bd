"""Attention and the positions it sees."""
