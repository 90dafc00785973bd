"""Compile once for every batch and length; know the memory beforehand; see symbols checked."""

import numpy as np

import sardonyx as sx
from sardonyx.core.expr import show
from sardonyx.engine.program.analysis import analyse
from sardonyx.passes.pipeline import prepare

ATTENTION = """graph attention {
  opset "" 20
  input q: float32[batch, seq, 32]
  input kt: float32[batch, 32, seq]
  s: float32[batch, seq, seq] = MatMul(q, kt)
  p: float32[batch, seq, seq] = Softmax<axis=-1>(s)
  output p
}"""

model = sx.from_text(ATTENTION)
print("peak bytes:", show(analyse(prepare(model)).peak_bytes))

session = sx.InferenceSession(model)
for batch, seq in ((1, 7), (4, 100), (16, 33)):
    q = np.ones((batch, seq, 32), np.float32)
    kt = np.ones((batch, 32, seq), np.float32)
    (found,) = session.run(None, {"q": q, "kt": kt})
    print(f"batch {batch}, seq {seq}: {found.shape}")

try:
    session.run(None, {"q": q, "kt": kt[:, :, :5]})
except sx.ShapeMismatch as error:
    print(error)
