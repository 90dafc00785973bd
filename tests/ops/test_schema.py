"""Every op class against the standard and against ONNX Runtime's schemas of com.microsoft.

tools/generate_schema_table.py writes both tables.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from sardonyx.graph.op import Op, find, registered

HERE = Path(__file__).parent
SCHEMAS: list[dict[str, Any]] = [
    row
    for table in ("schemas.json", "schemas_microsoft.json")
    for row in json.loads((HERE / table).read_text(encoding="utf-8"))
]
DOMAINS = {row["domain"] for row in SCHEMAS}

KINDS = {
    "INT": "int",
    "FLOAT": "float",
    "STRING": "str",
    "TENSOR": "Tensor",
    "SPARSE_TENSOR": "SparseTensor",
    "GRAPH": "Graph",
    "TYPE_PROTO": "Type",
    "INTS": "tuple[int, ...]",
    "FLOATS": "tuple[float, ...]",
    "STRINGS": "tuple[str, ...]",
    "TENSORS": "tuple[Tensor, ...]",
}


def gaps() -> dict[str, str]:
    """`name` or `domain::name` -> reason, of operators without a class."""
    lines = (HERE / "gaps.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    return {row[0]: row[1] for row in rows}


def key(row: dict[str, Any]) -> str:
    return f"{row['domain']}::{row['name']}" if row["domain"] else row["name"]


def fields_of(op: type[Op]) -> dict[str, dataclasses.Field[Any]]:
    """The attributes of a class by ONNX name."""
    return {
        f.metadata.get("onnx", f.name): f
        for f in dataclasses.fields(op)
        if f.metadata.get("attribute", True)
    }


def same_default(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return isinstance(given, tuple) and list(given) == wanted
    if isinstance(wanted, float):
        return bool(np.float32(given) == np.float32(wanted))
    return type(given) is type(wanted) and bool(given == wanted)


def faults(op: type[Op], row: dict[str, Any]) -> list[str]:
    """How the fields of a class differ from a schema."""
    fields, attributes = fields_of(op), row["attributes"]
    found = [f"no field {name}" for name in attributes.keys() - fields.keys()]
    found += [f"field {name} is no attribute" for name in fields.keys() - attributes.keys()]
    for name in attributes.keys() & fields.keys():
        f, wanted = fields[name], attributes[name]
        optional = "default" not in wanted and not wanted["required"]
        kind = KINDS[wanted["type"]] + (" | None" if optional else "")
        if f.type != kind:
            found.append(f"{name} is {f.type}, not {kind}")
        if (f.default is dataclasses.MISSING) != wanted["required"]:
            found.append(f"{name} has the default {f.default}, required is {wanted['required']}")
        elif not wanted["required"] and not same_default(f.default, wanted.get("default")):
            found.append(f"{name} has the default {f.default}, not {wanted.get('default')}")
    return found


@pytest.mark.parametrize("row", SCHEMAS, ids=lambda row: f"{key(row)}-{row['since']}")
def test_class_has_the_attributes_of_the_schema(row: dict[str, Any]) -> None:
    op = find(row["domain"], row["name"], row["since"])
    if key(row) in gaps():
        assert op is None, f"the gap is closed: take {key(row)} out of gaps.txt"
        return
    assert op is not None, f"{key(row)} of opset {row['since']} has no class"
    assert not faults(op, row)


@pytest.mark.parametrize("row", SCHEMAS, ids=lambda row: f"{key(row)}-{row['since']}")
def test_methods_take_the_inputs_of_the_schema(row: dict[str, Any]) -> None:
    op = find(row["domain"], row["name"], row["since"])
    if op is None:
        return
    least, most = row["inputs"][:2]
    for method in (op.infer, op.reference):
        given = list(inspect.signature(method).parameters.values())[1:]
        several = any(p.kind is p.VAR_POSITIONAL for p in given)
        plain = [p for p in given if p.kind is not p.VAR_POSITIONAL]
        assert sum(p.default is p.empty for p in plain) <= least
        assert several or len(plain) >= most


# ONNX Runtime's own, which its tools write into the standard's domain.
FOREIGN = {"::SimplifiedLayerNormalization-1", "::LayerNormalization-1"}


def test_every_version_of_a_class_is_one_of_the_standard() -> None:
    versions: dict[tuple[str, str], set[int]] = {}
    for row in SCHEMAS:
        versions.setdefault((row["domain"], row["name"]), set()).add(row["since"])
    strange = [
        f"{domain}::{name}-{since}"
        for (domain, name), classes in registered().items()
        for since in classes
        if domain in DOMAINS and since not in versions.get((domain, name), set())
    ]
    assert set(strange) == FOREIGN


def classes(base: type[Op]) -> Iterator[type[Op]]:
    for kind in base.__subclasses__():
        yield kind
        yield from classes(kind)


def test_no_version_has_two_classes() -> None:
    known = {c for versions in registered().values() for c in versions.values()}
    hidden = [
        kind.__qualname__
        for kind in classes(Op)
        if kind.__module__.startswith("sardonyx.ops")
        and kind not in known
        and (kind.domain, kind.name) in registered()
        and kind.since in registered()[kind.domain, kind.name]
    ]
    assert not hidden


def test_every_gap_is_an_operator() -> None:
    assert not gaps().keys() - {key(row) for row in SCHEMAS}


def test_table_is_current() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    tool = HERE.parents[1] / "tools" / "generate_schema_table.py"
    assert subprocess.run([sys.executable, str(tool), "--check"], check=False).returncode == 0
