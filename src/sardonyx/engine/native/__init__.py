"""Running: memory, threads, barriers, and the entry that Python calls."""
