"""What a start costs: a kept program is served without what makes programs."""

import os
import subprocess
import sys
from pathlib import Path

from sardonyx.formats import save
from sardonyx.graph.text import from_text
from sardonyx.providers.registry import BUILT_IN, providers

MODEL = """
graph g {
  opset ai.onnx 20
  input x: float32[N, 3]
  const w: float32[3, 2] = {1, 2, 3, 4, 5, 6}
  m = MatMul(x, w)
  y = Relu(m)
  output y
}
"""
START = """
import sys
import numpy as np
import sardonyx as sx
session = sx.InferenceSession(sys.argv[1])
session.run(None, {"x": np.ones((4, 3), np.float32)})
print(*sorted(name for name in sys.modules if name.startswith("sardonyx.")))
"""


def started(model: Path, cache: Path) -> set[str]:
    """The modules of ours that a process has imported by its first answer."""
    environment = {**os.environ, "SARDONYX_CACHE_DIR": str(cache), "SARDONYX_CACHE": "on"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    command = [sys.executable, "-c", START, str(model)]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return set(said.stdout.split())


def test_a_second_start_imports_no_compiler(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    save(from_text(MODEL), model)
    first, second = (started(model, tmp_path / "cache") for _ in range(2))
    compiler = ("sardonyx.kernels", "sardonyx.engine.emit", "sardonyx.engine.fuse.fuse")
    assert all(name in first for name in compiler)
    assert not any(name.startswith(compiler) for name in second)
    assert not any(name.startswith("sardonyx.loops.math") for name in second)


def test_built_in_providers_are_called_what_their_classes_say() -> None:
    for name, (aliases, _, kind) in BUILT_IN.items():
        provider = providers()[name]
        assert (provider.name, provider.aliases) == (name, aliases)
        assert type(provider).__name__ == kind
