"""A whole model: its steps, its arena, what is kept of it on disk."""
