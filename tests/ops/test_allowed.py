"""Types that operators allow are those of the standard; others are refused with the list."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import defs, helper

import sardonyx as sx
from generate_type_table import short
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph
from sardonyx.graph.op import find
from sardonyx.graph.type import Type, tensor_type
from sardonyx.passes.allowed import formals, refuse_types, spelled

ROOT = Path(__file__).parents[2]
SCHEMAS = [s for s in defs.get_all_schemas_with_history() if not s.deprecated]
PLAIN = [d for d in DType if d.bits >= 8 or d.is_string]


def test_is_current() -> None:
    tool = ROOT / "tools" / "generate_type_table.py"
    assert subprocess.run([sys.executable, tool, "--check"], check=False).returncode == 0


def _types(schema: Any, n: int) -> set[str]:
    name = schema.inputs[min(n, len(schema.inputs) - 1)].type_str
    lists = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    return {short(t) for t in lists.get(name, [name])}


def test_every_version_allows_what_the_standard_does() -> None:
    for schema in SCHEMAS:
        row = formals(schema.domain, schema.name, schema.since_version)
        assert len(row) == len(schema.inputs), schema.name
        for n, formal in enumerate(row):
            assert formal.types == _types(schema, n), (schema.name, schema.since_version, n)


@pytest.mark.parametrize("dtype", PLAIN, ids=str)
def test_types_are_refused_where_they_are_not_allowed(dtype: DType) -> None:
    given = tensor_type(dtype, (2, 3))
    for schema in SCHEMAS:
        kind = find(schema.domain, schema.name, schema.since_version)
        if kind is None or not schema.inputs or schema.max_input > 1 or kind.has("enter"):
            continue
        op = object.__new__(kind)
        allowed = _types(schema, 0)
        if str(dtype) in allowed:
            refuse_types(op, schema.since_version, [given])
        elif kind.since == schema.since_version:
            with pytest.raises(InvalidGraph, match="E0324") as caught:
                refuse_types(op, schema.since_version, [given])
            assert caught.value.wanted == ", ".join(sorted(allowed))


def _model(name: str, opset: int, *kinds: int) -> Any:
    ends = [helper.make_tensor_value_info(f"x{n}", k, [3, 3]) for n, k in enumerate(kinds)]
    node = helper.make_node(name, [e.name for e in ends], ["y"])
    made = helper.make_graph([node], "g", ends, [onnx.ValueInfoProto(name="y")])
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


F, I32, I64, U8, B, S = 1, 6, 7, 2, 9, 8


@pytest.mark.parametrize(
    ("name", "opset", "kinds"),
    [
        ("Neg", 18, (U8,)), ("Add", 18, (B, B)), ("Relu", 13, (I64,)), ("Sqrt", 18, (I64,)),
        ("And", 18, (F, F)), ("MatMul", 18, (B, B)), ("Abs", 18, (B,)), ("Max", 18, (B, B)),
        ("ReduceMean", 18, (B,)), ("Floor", 18, (I64,)), ("Clip", 11, (I32,)), ("Mul", 6, (U8, U8)),
        ("Add", 18, (F, I64)), ("Concat", 18, (F, I64)), ("Relu", 18, (S,)), ("Not", 18, (I32,)),
        ("Gather", 18, (F, F)), ("Where", 18, (F, F, F)), ("Pow", 7, (I64, I64)),
    ],
)  # fmt: skip
def test_check_and_sessions_refuse_what_the_checker_refuses(
    name: str, opset: int, kinds: tuple[int, ...]
) -> None:
    model = _model(name, opset, *kinds)
    if name == "Concat":
        model.graph.node[0].attribute.append(helper.make_attribute("axis", 0))
    with pytest.raises(Exception, match=r"."):
        onnx.checker.check_model(model, full_check=True)
    assert any(f.is_error for f in sx.check(model))
    for provider in ("CPUExecutionProvider", "ReferenceExecutionProvider"):
        with pytest.raises(InvalidGraph, match=r"E032[34]"):
            sx.InferenceSession(model, providers=[provider])


def test_a_version_that_allows_more_is_run() -> None:
    session = sx.InferenceSession(_model("Relu", 14, I64))
    assert session.run(None, {"x0": np.full((3, 3), -2)})[0].tolist() == [[0] * 3] * 3


def test_containers_are_spelled_as_the_table_has_them() -> None:
    tensor = tensor_type(DType.FLOAT32, (3,))
    many = Type(kind="sequence", elem=tensor)
    assert spelled(Type(kind="optional", elem=many)) == "optional(seq(float32))"
    assert spelled(Type(DType.INT64, kind="map", elem=tensor)) == "map(int64,float32)"
    assert spelled(Type(kind="sequence")) is None
