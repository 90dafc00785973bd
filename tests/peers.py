"""ONNX Runtime as tests ask it: on one thread, since its workers spin beside the tests."""

import onnxruntime


def session(model: bytes) -> onnxruntime.InferenceSession:
    """A session over a model with all optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
