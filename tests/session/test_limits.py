"""Every documented limit holds, given by argument or by environment; its neighbour passes."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from sardonyx.core import knobs
from sardonyx.core.errors import LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.session import InferenceSession

HEAD = '<ir_version: 8, opset_import: ["" : 17, "own" : 1]>\n'


def _model(body: str) -> onnx.ModelProto:
    return parser.parse_model(HEAD + body)


def _chain() -> onnx.ModelProto:
    return _model("g (float[N, M] x) => (float[N, M] y) { a = Exp(x) y = Add(a, a) }")


def _weighted() -> onnx.ModelProto:
    model = _model("g (float[N, 6] x) => (float[N, 6] y) { a = Mul(x, w) y = Add(a, v) }")
    for name in ("w", "v"):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(6, np.float32), name))
    return model


def _square(n: int = 6) -> onnx.ModelProto:
    return _model(f"g (float[{n}, {n}] x) => (float[N, M] y) {{ a = Exp(x) y = MatMul(a, a) }}")


def _called() -> onnx.ModelProto:
    body = "g (float[N, M] x) => (float[N, M] y) { a = own.f(x) b = own.f(a) y = own.f(b) }"
    own = '<domain: "own", opset_import: ["" : 17]> f (x) => (y) { a = Exp(x) y = Neg(a) }'
    return _model(body + "\n" + own)


def _looped(trips: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["s"], ["t"])],
        "body",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["most", "", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "M"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "M"])],
        [numpy_helper.from_array(np.array(trips), "most")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Row:
    """A model, a value of the limit that it exceeds, and one that it does not."""

    model: Callable[[], onnx.ModelProto]
    exceeded: float
    kept: float
    shape: tuple[int, int] = (4, 6)


ROWS = {
    "file_bytes": Row(_chain, 20, 10_000),
    "external_bytes": Row(_weighted, 20, 10_000),
    "depth": Row(_chain, 1, 100),
    "fields": Row(_chain, 4, 10_000),
    "nodes": Row(_chain, 1, 2),
    "initializers": Row(_weighted, 1, 2),
    "inlined": Row(_called, 2, 100),
    "rank": Row(_weighted, 0, 2),
    "tensor_bytes": Row(_weighted, 20, 96),
    "memory_bytes": Row(_square, 100, 100_000, (6, 6)),
    "memory_share": Row(_square, 1e-9, 0.5, (6, 6)),
    "compile_seconds": Row(_square, 0, 60, (6, 6)),
    "code_bytes": Row(_square, 100, 10_000_000, (6, 6)),
    "run_seconds": Row(lambda: _looped(500_000), 0.01, 60),
    "trips": Row(lambda: _looped(20), 10, 20),
}
# What is beyond these is left undone, or forgotten, and nothing is refused.
QUIET = {"fold_bytes", "fold_total", "variants"}


def _run(row: Row, folder: Path, limits: Limits | None) -> None:
    path = folder / "m.onnx"
    onnx.save(row.model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    if row.model is not _weighted:
        onnx.save(row.model(), path)
    with knobs.override(cache=False):
        InferenceSession(path, limits=limits).run(None, {"x": np.ones(row.shape, np.float32)})


def test_every_limit_has_a_row() -> None:
    assert set(ROWS) | QUIET == {f.name for f in fields(Limits)}


@pytest.mark.parametrize("name", ROWS)
def test_a_limit_given_as_an_argument_holds(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    with pytest.raises(LimitExceeded) as caught:
        _run(row, tmp_path, Limits().changed({name: row.exceeded}))
    assert name.removesuffix("_share") in caught.value.message
    if name != "run_seconds":
        _run(row, tmp_path, Limits().changed({name: row.kept}))


@pytest.mark.parametrize("name", ROWS)
def test_a_limit_in_the_environment_holds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS[name]
    monkeypatch.setenv("SARDONYX_LIMITS", f"{name}={row.exceeded}")
    with pytest.raises(LimitExceeded):
        _run(row, tmp_path, None)
    monkeypatch.setenv("SARDONYX_LIMITS", f"{name}={row.kept}")
    if name != "run_seconds":
        _run(row, tmp_path, None)


@pytest.mark.parametrize("name", sorted(QUIET))
def test_beyond_a_quiet_limit_results_stay(name: str, tmp_path: Path) -> None:
    model = _weighted()
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    session = InferenceSession(path, limits=Limits().changed({name: 1}))
    for rows in (1, 2, 3, 2):
        x = np.full((rows, 6), 3, np.float32)
        assert np.array_equal(session.run(None, {"x": x})[0], x + 1)


def test_limits_of_one_session_are_not_anothers(tmp_path: Path) -> None:
    _run(ROWS["nodes"], tmp_path, Limits(nodes=2))
    with pytest.raises(LimitExceeded):
        _run(ROWS["nodes"], tmp_path, Limits(nodes=1))
    assert Limits.current() == Limits()
    _run(ROWS["nodes"], tmp_path, None)


HEADED = '<ir_version: 10, opset_import: ["" : 21]>\n'
TRIP = """
{ s0 = SequenceEmpty<dtype={kind}>() on = Constant<value_int=1>() go = Cast<to=9>(on)
  s = Loop(n, go, s0) <body = b (int64 i, bool c, seq({name}[K]) a) => (bool d, seq({name}[K]) e) {
    d = Identity(c) j = Cast<to=1>(i) {step} e = SequenceInsert(a, f) }>
  y = SequenceLength(s) }"""
WORDS = TRIP.replace("{kind}", "8").replace("{name}", "string")
NUMBERS = TRIP.replace("{kind}", "1").replace("{name}", "float")
ONE = np.ones(1, np.float32)
# Ten values of about a megabyte, of sizes that no shape tells.
GROWING = {
    "outputs": (
        "g (float[1] x, int64[1] n) => ("
        + ", ".join(f"float[N{k}] y{k}" for k in range(10)) + ") {"
        + " ".join(f"k{k} = Constant<value_ints=[{k}]>() n{k} = Add(n, k{k})" for k in range(10))
        + " ".join(f" y{k} = Expand(x, n{k})" for k in range(10)) + "}",
        {"x": ONE, "n": np.array([250_000])},
    ),
    "a sequence": (
        "g (float[K] x, int64 n) => (int64 y)" + NUMBERS.replace("{step}", "f = Add(x, j)"),
        {"x": np.ones(250_000, np.float32), "n": np.array(10)},
    ),
    "strings": (
        "g (string[K] x, int64 n) => (int64 y)" + WORDS.replace("{step}", "f = StringConcat(x, x)"),
        {"x": np.array(["a" * 500_000], object), "n": np.array(10)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("provider", ["native", "reference"])
def test_what_data_size_is_counted_together(provider: str, name: str) -> None:
    body, feeds = GROWING[name]
    model = parser.parse_model(HEADED + body)
    for megabytes, ends in ((4, True), (40, False)):
        limits = Limits(memory_bytes=megabytes << 20)
        session = InferenceSession(model, providers=[provider], limits=limits)
        for _ in range(2):
            if ends:
                with pytest.raises(LimitExceeded, match="E0506"):
                    session.run(None, feeds)
            else:
                session.run(None, feeds)


@pytest.mark.parametrize("provider", ["native", "reference"])
def test_what_nobody_reads_any_more_counts_no_longer(provider: str) -> None:
    steps = " ".join(f"v{n + 1} = Compress(v{n}, c)" for n in range(20))
    model = parser.parse_model(
        HEADED + f"g (float[N] x, bool[N] c) => (float[M] y) {{ v0 = Neg(x) {steps} y = Abs(v20) }}"
    )
    limits = Limits(memory_bytes=6 << 20)
    session = InferenceSession(model, providers=[provider], limits=limits)
    x = np.ones(250_000, np.float32)
    assert np.array_equal(session.run(None, {"x": x, "c": x > 0})[0], x)
