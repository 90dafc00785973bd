"""Pictures and pages of models and measurements."""
