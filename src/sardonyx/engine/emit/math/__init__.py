"""Elementary functions as formulas over vectors."""
