"""Why two sides differ: one module for each cause, which holds it by the name `CAUSE`."""
