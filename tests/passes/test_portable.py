"""Operators of other packages leave as functions that any runtime has."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import sardonyx as sx
from peers import session as onnxruntime_session
from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, exp, reduce, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value

DOMAIN = "org.example"


class Bent(sx.Op):
    """x where it is positive, else a multiple of exp(x) - 1: a formula of one element."""

    domain = DOMAIN
    slope: float = 1.0

    def infer(self, x: Type) -> Type:
        return x

    def reference(self, x: Array) -> Array:
        return np.where(x > 0, x, np.float32(self.slope) * (np.exp(x) - 1)).astype(x.dtype)

    def at(self, idx: Any, x: Any) -> Expr:
        e: Expr = x[idx]
        return where(e.like(0.0) < e, e, (exp(e) - 1.0) * self.slope)


class Centred(sx.Op):
    """Rows less their means: a body of other operators."""

    domain = DOMAIN

    def infer(self, x: Type) -> Type:
        return x

    def reference(self, x: Array) -> Array:
        return np.asarray(x - x.mean(-1, keepdims=True))

    def expand(self, graph: Graph, x: Value) -> Value:
        write = Body(graph, "centred")
        return write("Sub", x, write("ReduceMean", x, write.ints(-1)))


class Total(sx.Op):
    """Sums of rows: code of its own, which is no formula of one element."""

    domain = DOMAIN

    def infer(self, x: Type) -> Type:
        return x.with_shape(x.dims[:-1])

    def reference(self, x: Array) -> Array:
        return np.asarray(x.sum(-1))

    def at(self, idx: Any, x: Any) -> Expr:
        return reduce("add", x.shape[-1], lambda k: x[(*idx, k)])


TEXT = f"""graph g {{{{
  opset "" {{opset}}
  opset {DOMAIN} 1
  input x: float32[N, 6]
  const half: float32[] = {{{{0.5}}}}
  a: float32[N, 6] = {DOMAIN}::Bent<slope=0.25>(x)
  b: float32[N, 6] = {DOMAIN}::Centred(a)
  c: float32[N, 6] = {DOMAIN}::Bent(b)
  y: float32[N, 6] = Mul(c, half)
  output y
}}}}"""


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_another_runtime_runs_what_is_saved(opset: int, tmp_path: Path) -> None:
    model = sx.from_text(TEXT.format(opset=opset))
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    wanted = sx.InferenceSession(model).run(None, {"x": x})[0]
    path = tmp_path / "own.onnx"
    sx.save(model, path)
    saved = onnx.load(path)
    onnx.checker.check_model(saved, full_check=True)
    assert sorted(f.name for f in saved.functions) == ["Bent", "Bent_2", "Centred"]
    assert [n.op_type for n in saved.graph.node] == ["Bent", "Centred", "Bent_2", "Mul"]
    theirs = onnxruntime_session(path.read_bytes()).run(None, {"x": x})[0]
    np.testing.assert_allclose(theirs, wanted, 1e-6, 1e-6)
    again = sx.InferenceSession(path)
    np.testing.assert_allclose(again.run(None, {"x": x})[0], wanted, 1e-6, 1e-6)


def test_what_has_no_body_stays_as_it_is(tmp_path: Path) -> None:
    text = f"""graph g {{
      opset "" 20
      opset {DOMAIN} 1
      input x: float32[N, 6]
      y: float32[N] = {DOMAIN}::Total(x)
      output y
    }}"""
    path = tmp_path / "own.onnx"
    sx.save(sx.from_text(text), path)
    saved = onnx.load(path)
    assert not saved.functions
    x = np.ones((2, 6), np.float32)
    np.testing.assert_array_equal(sx.InferenceSession(path).run(None, {"x": x})[0], [6, 6])


def test_installed_packages_bring_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The domain of an entry point is what a model's operators are sought by."""
    told = tmp_path / "doubled-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: doubled\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[sardonyx.ops]\ncom.doubled = doubled_ops\n")
    (tmp_path / "doubled_ops.py").write_text(
        "import sardonyx as sx\n"
        "class Doubled(sx.Op):\n"
        "    domain = 'com.doubled'\n"
        "    def infer(self, x): return x\n"
        "    def reference(self, x): return x + x\n"
        "    def at(self, idx, x): return x[idx] + x[idx]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    head = 'graph g {\n  opset "" 20\n  opset com.doubled 1\n  input x: float32[N]\n'
    body = "  y: float32[N] = com.doubled::Doubled(x)\n  output y\n}"
    session = sx.InferenceSession(sx.from_text(head + body))
    assert session.gaps() == []
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(2, np.float32)})[0], [2, 2])
