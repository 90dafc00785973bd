"""Model files to graphs and back: one module, one format."""
