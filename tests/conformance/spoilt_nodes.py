"""Ways to spoil nodes and their attributes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from onnx import AttributeProto, helper, numpy_helper

from conformance.spoiling import way


def _node(model: Any, pick: random.Random) -> Any:
    return pick.choice(list(model.graph.node))


@way("plain", "first", "last", "all")
def input_missing(model: Any, pick: random.Random, which: str) -> bool | None:
    node = _node(model, pick)
    if not node.input:
        return False
    if which == "all":
        del node.input[:]
    else:
        del node.input[0 if which == "first" else -1]
    return None


@way("plain", "first", "last")
def input_blank(model: Any, pick: random.Random, which: str) -> bool | None:
    node = _node(model, pick)
    n = 0 if which == "first" else -1
    if not node.input or not node.input[n]:
        return False
    node.input[n] = ""
    return None


@way("plain", 1, 8)
def input_extra(model: Any, pick: random.Random, count: int) -> bool | None:
    node = _node(model, pick)
    if not node.input:
        return False
    node.input.extend([node.input[0]] * count)
    return None


@way("plain")
def input_extra_blank(model: Any, pick: random.Random) -> None:
    _node(model, pick).input.append("")


@way("plain")
def input_undefined(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.input:
        return False
    node.input[pick.randrange(len(node.input))] = "spoilt_nothing"
    return None


@way("plain")
def inputs_swapped(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if len(node.input) < 2:
        return False
    node.input[:] = list(node.input)[::-1]
    return None


@way("plain")
def output_extra(model: Any, pick: random.Random) -> None:
    _node(model, pick).output.append("spoilt_more")


@way("plain", 7)
def outputs_extra(model: Any, pick: random.Random, count: int) -> None:
    _node(model, pick).output.extend(f"spoilt_more{n}" for n in range(count))


@way("plain")
def output_missing(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.output:
        return False
    del node.output[-1]
    return None


@way("plain")
def output_blank(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.output:
        return False
    node.output[0] = ""
    return None


@way("plain")
def output_twice(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.input or not node.output or not node.input[0]:
        return False
    model.graph.node.append(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
    return None


@way("plain")
def output_named_as_an_input(model: Any, pick: random.Random) -> bool | None:
    if not model.graph.input or not model.graph.node:
        return False
    name = model.graph.input[0].name
    model.graph.node.append(helper.make_node("Identity", [name], [name]))
    return None


@way("plain")
def output_of_itself(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.input or not node.output:
        return False
    node.input[0] = node.output[0]
    return None


@way("plain")
def cycle(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.input or not node.output or not node.output[0]:
        return False
    model.graph.node.append(helper.make_node("Identity", [node.output[0]], ["spoilt_back"]))
    node.input[0] = "spoilt_back"
    return None


@way("plain")
def nodes_out_of_order(model: Any, pick: random.Random) -> bool | None:
    node = _node(model, pick)
    if not node.input or not node.input[0]:
        return False
    old = node.input[0]
    node.input[0] = "spoilt_late"
    model.graph.node.append(helper.make_node("Identity", [old], ["spoilt_late"]))
    return None


@way("plain", "Spoilt", "")
def operator(model: Any, pick: random.Random, name: str) -> None:
    _node(model, pick).op_type = name


@way("plain", "spoilt", "ai.onnx", "ai.onnx.ml", "com.microsoft")
def domain(model: Any, pick: random.Random, name: str) -> bool | None:
    node = _node(model, pick)
    if node.domain == name:
        return False
    node.domain = name
    return None


@way("plain")
def domain_imported(model: Any, pick: random.Random) -> None:
    _node(model, pick).domain = "spoilt"
    model.opset_import.append(helper.make_opsetid("spoilt", 1))


@way("plain")
def node_added_without_ends(model: Any, pick: random.Random) -> None:
    model.graph.node.append(helper.make_node("Identity", [], []))


# Attributes.


def _attribute(model: Any, pick: random.Random) -> tuple[Any, Any] | None:
    found = [(n, a) for n in model.graph.node for a in n.attribute]
    return pick.choice(found) if found else None


@way("plain")
def attribute_missing(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    found[0].attribute.remove(found[1])
    return None


@way("plain", "spoilt", "__spoilt", "")
def attribute_renamed(model: Any, pick: random.Random, name: str) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    found[1].name = name
    return None


@way("plain", "spoilt", "__spoilt", "axis", "axes", "to", "dtype")
def attribute_extra(model: Any, pick: random.Random, name: str) -> bool | None:
    node = _node(model, pick)
    if any(a.name == name for a in node.attribute):
        return False
    node.attribute.append(helper.make_attribute(name, 1))
    return None


@way("plain")
def attribute_twice(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    found[0].attribute.add().CopyFrom(found[1])
    return None


_VALUES: dict[str, Any] = {
    "int": 1, "float": 1.5, "text": "spoilt", "ints": [1, 2], "floats": [0.5, 2.5],
    "texts": ["a", "b"],
}  # fmt: skip


@way("plain", *_VALUES, "tensor", "graph")
def attribute_of_type(model: Any, pick: random.Random, kind: str) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    value = _VALUES.get(kind)
    if kind == "tensor":
        value = numpy_helper.from_array(np.ones(2, np.float32), "t")
    if kind == "graph":
        value = helper.make_graph([], "g", [], [])
    found[1].CopyFrom(helper.make_attribute(found[1].name, value))
    return None


@way("plain")
def attribute_without_type(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    found[1].ClearField("type")
    return None


@way("plain")
def attribute_without_value(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    name, kind = found[1].name, found[1].type
    found[1].Clear()
    found[1].name, found[1].type = name, kind
    return None


@way("plain")
def attribute_of_another_declared_type(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    kinds = [k for k in (1, 2, 3, 4, 6, 7, 8) if k != found[1].type]
    found[1].type = pick.choice(kinds)
    return None


@way("plain")
def attribute_with_two_values(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    if found[1].type == AttributeProto.INT:
        found[1].f = 1.5
    else:
        found[1].i = 3
    return None


@way("plain", -1000, -3, -1, 0, 1, 5, 97, 1 << 40)
def attribute_int(model: Any, pick: random.Random, value: int) -> bool | None:
    found = [a for n in model.graph.node for a in n.attribute if a.type == AttributeProto.INT]
    if not found:
        return False
    pick.choice(found).i = value
    return None


@way("plain", "shorter", "longer", "empty", "negative", "zero", "large", "twice")
def attribute_ints(model: Any, pick: random.Random, how: str) -> bool | None:
    found = [a for n in model.graph.node for a in n.attribute if a.type == AttributeProto.INTS]
    if not found:
        return False
    held = pick.choice(found).ints
    values = list(held)
    changed = {
        "shorter": values[:-1], "longer": [*values, 1], "empty": [], "zero": [0] * len(values),
        "negative": [-7] * len(values), "large": [97] * len(values), "twice": [*values, *values],
    }[how]  # fmt: skip
    held[:] = changed
    return None


@way("plain", -1.5, 0.0, 1e30, float("nan"))
def attribute_float(model: Any, pick: random.Random, value: float) -> bool | None:
    found = [a for n in model.graph.node for a in n.attribute if a.type == AttributeProto.FLOAT]
    if not found:
        return False
    pick.choice(found).f = value
    return None


@way("plain", "spoilt", "")
def attribute_text(model: Any, pick: random.Random, value: str) -> bool | None:
    found = [a for n in model.graph.node for a in n.attribute if a.type == AttributeProto.STRING]
    if not found:
        return False
    pick.choice(found).s = value.encode()
    return None


@way("plain")
def attribute_reference(model: Any, pick: random.Random) -> bool | None:
    found = _attribute(model, pick)
    if found is None:
        return False
    name, kind = found[1].name, found[1].type
    found[1].Clear()
    found[1].name, found[1].type, found[1].ref_attr_name = name, kind, "spoilt"
    return None
