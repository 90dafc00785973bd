"""The ways to run a model: our engine, the numpy reference, and peers where installed."""
