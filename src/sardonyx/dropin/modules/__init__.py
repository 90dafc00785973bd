"""The submodules that `sardonyx.X` and `onnxruntime.X` both name; not imported by this name."""
