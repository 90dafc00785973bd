"""`onnxruntime.datasets`: three small models, written when they are first asked for."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from sardonyx.core.errors import NoSuchFile
from sardonyx.formats import save
from sardonyx.graph.text import from_text

EXAMPLES = {
    "mul_1.onnx": """
graph mul {
  opset "" 7
  input X: float32[3, 2]
  const W = float32[3, 2] {1, 2, 3, 4, 5, 6}
  Y: float32[3, 2] = Mul(X, W)
  output Y
}
""",
    "sigmoid.onnx": """
graph sigmoid {
  opset "" 9
  input x: float32[3, 4, 5]
  y: float32[3, 4, 5] = Sigmoid(x)
  output y
}
""",
    "logreg_iris.onnx": """
graph iris {
  opset "ai.onnx.ml" 1
  input float_input: float32[3, 2]
  label: int64[3], scores = ai.onnx.ml::LinearClassifier<
    classlabels_ints=[0, 1, 2], post_transform="SOFTMAX", intercepts=[7.911, 1.847, -9.758],
    coefficients=[-2.709, 2.324, 0.613, -1.571, 2.096, -0.753]>(float_input)
  probabilities: sequence(map<int64>(float32[?])) =
    ai.onnx.ml::ZipMap<classlabels_int64s=[0, 1, 2]>(scores)
  output label
  output probabilities
}
""",
}


def get_example(name: str) -> str:
    """The path of a model: X times a constant, a sigmoid, a classifier of irises by their sepals.

    NoSuchFile (E0101) for another name. The files last as long as the process.
    """
    if name not in EXAMPLES:
        raise NoSuchFile(
            "E0101", f"there is no example `{name}`", file=name, wanted=", ".join(EXAMPLES)
        )
    path = Path(_folder().name) / name
    if not path.exists():
        save(from_text(EXAMPLES[name]), path)
    return str(path)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="sardonyx-examples-")
