"""Hand-written modules and architectures of transformers: each converted, its contract kept here
and by ONNX Runtime.
"""

from pathlib import Path
from typing import Any

import pytest

import sardonyx as sx
from sardonyx.convert import convert, replay

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from convert.architectures import ARCHITECTURES, FAST_ARCHITECTURES, TRACED  # noqa: E402
from convert.modules import MODULES  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
FAST = {"branch on values", "loop on values", "updates in place", "autograd function",
        "custom operator", "size of data", "nested mapping"}  # fmt: skip


def _kept(model: Any, inputs: Any, path: Path, **settings: Any) -> None:
    made = convert(model, inputs, path, **settings)
    assert made.agree
    assert made.path == str(path)
    graph = sx.load(path)
    for provider in ("CPUExecutionProvider", "onnxruntime"):
        found = replay(graph, provider)
        assert found.agree, "\n".join(found.lines())


def _rows(names: Any, fast: set[str]) -> list[Any]:
    slow = pytest.mark.conversions
    return [pytest.param(name, marks=() if name in fast else slow) for name in names]


@pytest.mark.parametrize("name", _rows(MODULES, FAST))
def test_modules(name: str, tmp_path: Path) -> None:
    row = MODULES[name]
    torch.manual_seed(0)
    settings = {k: x() if callable(x) else x for k, x in row.settings.items()}
    _kept(row.build(), row.inputs, tmp_path / "net.onnx", **settings)


@pytest.mark.parametrize("name", _rows(ARCHITECTURES, FAST_ARCHITECTURES))
def test_architectures(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = ARCHITECTURES[name]().eval()
    capture = "trace" if name in TRACED else "export"
    _kept(model, None, tmp_path / "net.onnx", capture=capture)
