"""Texts into machine code: compiling, caching, linking, the helper process."""
