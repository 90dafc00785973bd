"""Elements moved, picked, joined and made."""
