"""Scheduled kernels into LLVM text."""
