"""One output element from the inputs' elements at its place."""
