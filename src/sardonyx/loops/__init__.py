"""Kernels as data: loop programs, their text, checks, interpreter and targets."""
