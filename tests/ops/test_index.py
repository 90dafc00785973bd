"""Operators are loaded when they are needed, from where the index says."""

import subprocess
import sys

from generate_operator_index import TARGET, table
from sardonyx.graph.op import registered
from sardonyx.ops.index import MODULES

LOADS = """
import sys
import numpy as np
import sardonyx as sx
model = sx.from_text('''graph ten {
  opset "" 20
  input x: float32[N, 3, 8, 8]
  const w: float32[4, 3, 3, 3] = {0.5}
  a: float32[N, 4, 6, 6] = Conv(x, w)
  b: float32[N, 4, 6, 6] = Relu(a)
  c: float32[N, 4, 1, 1] = GlobalAveragePool(b)
  d: float32[N, 4] = Flatten(c)
  e: float32[N, 4] = Softmax(d)
  f: float32[N, 4] = Add(e, d)
  g: float32[N, 4] = Sqrt(f)
  h: float32[4, N] = Transpose(g)
  i: float32[4, N] = Tanh(h)
  j: float32[4, N] = Neg(i)
  output j
}'''.replace("{0.5}", "{" + ", ".join(["0.5"] * 108) + "}"))
session = sx.InferenceSession(model)
session.run(None, {"x": np.ones((2, 3, 8, 8), np.float32)})
from sardonyx.ops.index import MODULES
print(*sorted(set(MODULES.values()) & set(sys.modules)))
"""


def test_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == table(), f"run tools/{TARGET.stem}"


def test_holds_every_operator_once() -> None:
    ours = {
        key: {kind.__module__ for kind in versions.values()}
        for key, versions in registered().items()
        if any(kind.__module__.startswith("sardonyx.ops.") for kind in versions.values())
    }
    assert ours == {key: {module} for key, module in MODULES.items()}


def test_a_process_imports_the_operators_of_its_model_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = {name.removeprefix("sardonyx.ops.") for name in done.stdout.split()}
    wanted = {
        "elementwise.activation", "elementwise.binary", "elementwise.unary", "move.reshape",
        "product.matmul", "reduce.softmax", "window.conv", "window.pooling",
    }  # fmt: skip
    assert loaded == wanted
