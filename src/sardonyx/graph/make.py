"""From an operator's name and attributes to an Op: the class in force, or the data as found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sardonyx.graph.op import Op, Opaque, find

# Opsets of domains that ONNX Runtime has in models which import none of them.
ASSUMED = {"com.microsoft": 1}

# Attributes whose names begin so are details of who wrote them, and no part of the operator.
INTERNAL = "__"


@dataclass(frozen=True)
class AttributeRef:
    """An attribute inside a function body that takes the value of the function's own attribute.

    `name` is the function's attribute, `kind` the type in ONNX's words (INT, FLOATS, GRAPH …).
    """

    name: str
    kind: str


def make_op(
    domain: str,
    name: str,
    opset: int | None,
    settings: Mapping[str, Any],
    *,
    overload: str = "",
    outputs: int = 1,
) -> Op:
    """The op `domain.name` of that opset with these attributes, by ONNX name.

    An Opaque that keeps everything where no class is known (opset None: not imported), where the
    class has no such attribute or needs one that is missing, and where an attribute is only a
    reference; `misfit` tells why.
    """
    space = "" if domain == "ai.onnx" else domain
    opset = ASSUMED.get(space) if opset is None else opset
    found = find(space, name, opset) if opset is not None and not overload else None
    if found is None or misfit(found, settings) is not None:
        given = tuple(settings.items())
        return Opaque(kind=name, space=space, overload=overload, settings=given, outputs=outputs)
    names = attribute_fields(found)
    given_by_field = {names[key].name: value for key, value in settings.items() if key in names}
    return found(outputs=outputs, **given_by_field)


def attribute_fields(op: type[Op]) -> dict[str, dataclasses.Field[Any]]:
    """The fields of an op class that are ONNX attributes, by ONNX name."""
    return {
        f.metadata.get("onnx", f.name): f
        for f in dataclasses.fields(op)
        if f.metadata.get("attribute", True)
    }


def misfit(op: type[Op], settings: Mapping[str, Any]) -> str | None:
    """Why these attributes do not make an instance of the class, None when they do."""
    known = attribute_fields(op)
    for name, value in settings.items():
        if name not in known and not name.startswith(INTERNAL):
            return f"there is no attribute `{name}`"
        if isinstance(value, AttributeRef):
            return f"`{name}` refers to the attribute `{value.name}` of a function"
    for name, f in known.items():
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if needed and name not in settings:
            return f"the attribute `{name}` is missing"
    return None
