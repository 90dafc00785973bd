"""Steps of optimizers and gradients."""
