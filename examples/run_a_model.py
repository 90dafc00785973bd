"""Write a small model as text, save it as ONNX, and run it with ONNX Runtime's names."""

import numpy as np

import sardonyx as sx

MODEL = """graph probabilities {
  opset "" 20
  input x: float32[N, 3]
  const weight: float32[3, 2] = {1.0, -1.0, 0.5, 0.25, -2.0, 2.0}
  scores: float32[N, 2] = MatMul(x, weight)
  p: float32[N, 2] = Softmax<axis=-1>(scores)
  output p
}"""

sx.save(sx.from_text(MODEL), "probabilities.onnx")

session = sx.InferenceSession("probabilities.onnx", providers=["CPUExecutionProvider"])
print(session.get_inputs()[0])
(p,) = session.run(None, {"x": np.eye(3, dtype=np.float32)})
print(p)
