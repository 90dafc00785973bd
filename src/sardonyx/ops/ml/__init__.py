"""Classical machine learning on tables: trees, linear models, support vectors, encoders, maps."""
