"""Elements between elements: resizing, grids, images."""
