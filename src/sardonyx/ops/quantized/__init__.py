"""Integers with scales."""
