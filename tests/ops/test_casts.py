"""A Cast of what the target cannot hold is one thing, however and wherever it is computed."""

import platform

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.core import scalar
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import cast, const
from sardonyx.graph.evaluate import evaluate
from sardonyx.ops.elementwise.cast import Cast
from session.models import graph

REALS = (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16)
WHOLES = (
    DType.INT8, DType.UINT8, DType.INT16, DType.UINT16,
    DType.INT32, DType.UINT32, DType.INT64, DType.UINT64,
)  # fmt: skip
BITS = (7, 8, 15, 16, 31, 32, 63, 64)
EDGES = [s * (2.0**p + d) for s in (1, -1) for p in BITS for d in (-1.5, -0.5, 0, 0.5)]
VALUES = [0.0, -0.0, 300.7, 50.9, -50.9, 3e9, -3e9, 1e20, -1e20, np.nan, np.inf, -np.inf, *EDGES]


def _values(source: DType) -> Array:
    with np.errstate(over="ignore"):
        return np.array(VALUES).astype(source.numpy)


def _fed(source: DType, to: DType, x: Array, provider: str) -> Array:
    model = graph(f"""graph fed {{
      opset "" 21
      input x: {source}[n]
      y = Cast<to={to.value}>(x)
      output y
    }}""")
    found: Array = sx.InferenceSession(model, providers=[provider]).run(None, {"x": x})[0]
    return found


@pytest.mark.parametrize("source", REALS, ids=str)
@pytest.mark.parametrize("to", WHOLES, ids=str)
def test_out_of_range(source: DType, to: DType) -> None:
    x = _values(source)
    wanted = [scalar.truncated(float(v), to) for v in x]
    (folded,) = evaluate(Cast(to=to.value), [x])
    assert folded.tolist() == wanted
    assert [cast(const(float(v), source), to).arg for v in x] == wanted
    for provider in ("CPUExecutionProvider", "InterpreterExecutionProvider"):
        assert _fed(source, to, x, provider).tolist() == wanted
    alone = [_fed(source, to, x[n : n + 1], "CPUExecutionProvider").item() for n in range(4, 12)]
    assert alone == wanted[4:12]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors saturate")
@pytest.mark.parametrize("source", REALS[:2], ids=str)
@pytest.mark.parametrize("to", WHOLES, ids=str)
def test_onnxruntimes_users_see_the_same(source: DType, to: DType) -> None:
    """On x86-64, where its loops are the processor's own conversions."""
    if to is DType.UINT32:
        pytest.skip("ONNX Runtime's own depends on how many there are")
    x = _values(source)
    peer = _fed(source, to, x, "OnnxRuntimeExecutionProvider")
    assert _fed(source, to, x, "CPUExecutionProvider").tolist() == peer.tolist()
