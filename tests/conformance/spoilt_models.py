"""Ways to spoil declarations and what a model says of itself."""

from __future__ import annotations

import random
from typing import Any

import onnx
from onnx import TensorProto, helper

from conformance.spoiling import TYPES, way


@way("plain", *TYPES)
def input_type(model: Any, pick: random.Random, name: str) -> bool | None:
    found = [i for i in model.graph.input if i.type.HasField("tensor_type")]
    if not found:
        return False
    one = pick.choice(found).type.tensor_type
    if one.elem_type == TYPES[name]:
        return False
    one.elem_type = TYPES[name]
    return None


@way("plain", *TYPES)
def output_type(model: Any, pick: random.Random, name: str) -> bool | None:
    found = [i for i in model.graph.output if i.type.HasField("tensor_type")]
    if not found:
        return False
    one = pick.choice(found).type.tensor_type
    if one.elem_type == TYPES[name]:
        return False
    one.elem_type = TYPES[name]
    return None


def _declared(model: Any, pick: random.Random, side: str) -> Any:
    found = list(getattr(model.graph, side))
    return pick.choice(found) if found else None


_BOTH = ("input", "output")


def _each(*words: str) -> tuple[str, ...]:
    return tuple(f"{side} {word}" for side in _BOTH for word in words)


@way("plain", *_each("longer", "shorter", "none"))
def rank(model: Any, pick: random.Random, what: str) -> bool | None:
    side, how = what.split()
    one = _declared(model, pick, side)
    if one is None or not one.type.tensor_type.HasField("shape"):
        return False
    shape = one.type.tensor_type.shape
    if how == "longer":
        shape.dim.add().dim_value = 3
    elif how == "none":
        one.type.tensor_type.ClearField("shape")
    elif not shape.dim:
        return False
    else:
        del shape.dim[-1]
    return None


@way("plain", *_each("more", "one", "zero", "negative", "symbol", "blank"))
def dim(model: Any, pick: random.Random, what: str) -> bool | None:
    side, how = what.split()
    one = _declared(model, pick, side)
    if one is None or not one.type.tensor_type.shape.dim:
        return False
    held = pick.choice(list(one.type.tensor_type.shape.dim))
    if how == "symbol":
        held.dim_param = "spoilt"
    elif how == "blank":
        held.Clear()
    else:
        held.dim_value = {"more": held.dim_value + 3, "one": 1, "zero": 0, "negative": -2}[how]
    return None


@way("plain", *_each("type", "kind", "name", "twice", "sequence", "optional", "map", "opaque"))
def declaration(model: Any, pick: random.Random, what: str) -> bool | None:
    side, how = what.split()
    one = _declared(model, pick, side)
    if one is None:
        return False
    old = onnx.TypeProto()
    old.CopyFrom(one.type)
    if how == "name":
        one.name = ""
    elif how == "type":
        one.ClearField("type")
    elif how == "kind":
        one.type.Clear()
    elif how == "twice":
        getattr(model.graph, side).add().CopyFrom(one)
    elif how == "sequence":
        one.type.sequence_type.elem_type.CopyFrom(old)
    elif how == "optional":
        one.type.optional_type.elem_type.CopyFrom(old)
    elif how == "map":
        one.type.map_type.key_type = 7
    else:
        one.type.opaque_type.domain = "spoilt"
    return None


@way("plain")
def sequence_without_element(model: Any, pick: random.Random) -> bool | None:
    one = _declared(model, pick, "input")
    if one is None:
        return False
    one.type.sequence_type.Clear()
    one.type.sequence_type.SetInParent()
    return None


@way("plain")
def input_gone(model: Any, pick: random.Random) -> bool | None:
    one = _declared(model, pick, "input")
    if one is None:
        return False
    model.graph.input.remove(one)
    return None


@way("plain")
def output_undefined(model: Any, pick: random.Random) -> bool | None:
    one = _declared(model, pick, "output")
    if one is None:
        return False
    one.name = "spoilt_nothing"
    return None


@way("plain")
def outputs_gone(model: Any, pick: random.Random) -> None:
    del model.graph.output[:]


@way("plain", "type", "rank", "dim", "kind")
def value_info(model: Any, pick: random.Random, how: str) -> bool | None:
    one = _declared(model, pick, "output")
    if one is None or not one.type.tensor_type.HasField("shape"):
        return False
    model.graph.node.append(helper.make_node("Identity", [one.name], ["spoilt_v"]))
    told = model.graph.value_info.add()
    told.CopyFrom(one)
    told.name = "spoilt_v"
    kind = told.type.tensor_type
    if how == "type":
        kind.elem_type = TensorProto.INT64 if kind.elem_type != TensorProto.INT64 else 1
    elif how == "rank":
        kind.shape.dim.add().dim_value = 3
    elif how == "kind":
        told.type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif not kind.shape.dim:
        return False
    else:
        kind.shape.dim[0].dim_value += 3
    return None


@way("plain")
def value_info_of_nothing(model: Any, pick: random.Random) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("spoilt_v", 1, [3]))


@way("plain")
def value_info_twice(model: Any, pick: random.Random) -> None:
    one = model.graph.node[0].output[0]
    for size in (3, 4):
        model.graph.value_info.append(helper.make_tensor_value_info(one, 1, [size]))


# The model.


@way("plain")
def graph_without_name(model: Any, pick: random.Random) -> None:
    model.graph.name = ""


@way("plain")
def without_graph(model: Any, pick: random.Random) -> None:
    model.ClearField("graph")


@way("plain", 0, 1, 2, 3, 4, 7, 99)
def ir_version(model: Any, pick: random.Random, number: int) -> None:
    model.ir_version = number


@way("plain")
def without_ir_version(model: Any, pick: random.Random) -> None:
    model.ClearField("ir_version")


@way("plain", -1, 0, 1, 5, 8, 12, 17, 99, 1 << 40)
def opset(model: Any, pick: random.Random, number: int) -> None:
    pick.choice(list(model.opset_import)).version = number


@way("plain")
def opsets_gone(model: Any, pick: random.Random) -> None:
    del model.opset_import[:]


@way("plain", 1, 28)
def opset_twice(model: Any, pick: random.Random, number: int) -> None:
    domain = pick.choice(list(model.opset_import)).domain
    model.opset_import.append(helper.make_opsetid(domain, number))


@way("plain")
def opset_in_both_spellings(model: Any, pick: random.Random) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx", 9))


@way("plain")
def metadata_twice(model: Any, pick: random.Random) -> None:
    for text in "ab":
        entry = model.metadata_props.add()
        entry.key, entry.value = "spoilt", text
