"""Statements that spell their own machine instructions, one module per instruction set."""
