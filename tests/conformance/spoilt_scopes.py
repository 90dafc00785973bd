"""Ways to spoil functions and branches."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from conformance.spoiling import TYPES, way
from conformance.spoilt_models import input_type


def _whole(model: Any) -> Any:
    return model.functions[0]


@way("function")
def called(model: Any, pick: random.Random) -> None:
    """As it is: valid."""


@way("function", "itself", "each other")
def recursion(model: Any, pick: random.Random, how: str) -> None:
    inner = model.functions[1]
    name = "Inner" if how == "itself" else "Whole"
    count = (1, 1) if how == "itself" else (len(_whole(model).input), len(_whole(model).output))
    ends = [f"spoilt_{n}" for n in range(count[1])]
    inner.node.append(helper.make_node(name, ["a"] * count[0], ends, domain="spoilt"))


@way("function", "model", "function", "own", "all")
def import_missing(model: Any, pick: random.Random, where: str) -> None:
    if where == "model":
        kept = [o for o in model.opset_import if o.domain != "spoilt"]
        del model.opset_import[:]
        model.opset_import.extend(kept)
        return
    one = _whole(model)
    gone = {"function": ("",), "own": ("spoilt",)}.get(where)
    kept = [] if gone is None else [o for o in one.opset_import if o.domain not in gone]
    del one.opset_import[:]
    one.opset_import.extend(kept)


@way("function", 1, 6, 12, 20, 28)
def import_of_another_opset(model: Any, pick: random.Random, number: int) -> None:
    for entry in _whole(model).opset_import:
        if not entry.domain:
            entry.version = number


@way("function")
def function_input_undefined(model: Any, pick: random.Random) -> bool | None:
    node = _whole(model).node[0]
    if not node.input:
        return False
    node.input[0] = "spoilt_nothing"
    return None


@way("function", "input", "output", "attribute")
def function_name_twice(model: Any, pick: random.Random, side: str) -> bool | None:
    names = getattr(_whole(model), side)
    if side == "attribute":
        names.extend(["a", "a"])
    elif not names:
        return False
    else:
        names.append(names[0])
    return None


@way("function")
def function_output_undefined(model: Any, pick: random.Random) -> None:
    _whole(model).output[-1] = "spoilt_nothing"


@way("function", "name", "domain")
def function_without(model: Any, pick: random.Random, what: str) -> None:
    _whole(model).ClearField(what)


@way("function")
def function_twice(model: Any, pick: random.Random) -> None:
    model.functions.add().CopyFrom(model.functions[1])


@way("function")
def function_gone(model: Any, pick: random.Random) -> None:
    del model.functions[1]


@way("function")
def function_attribute_undefined(model: Any, pick: random.Random) -> None:
    node = model.functions[1].node[0]
    node.op_type = "LeakyRelu"
    made = node.attribute.add()
    made.name, made.type, made.ref_attr_name = "alpha", AttributeProto.FLOAT, "spoilt"


@way("function")
def function_attribute_of_another_type(model: Any, pick: random.Random) -> None:
    inner = model.functions[1]
    inner.attribute.append("spoilt")
    node = inner.node[0]
    node.op_type = "LeakyRelu"
    made = node.attribute.add()
    made.name, made.type, made.ref_attr_name = "alpha", AttributeProto.INT, "spoilt"


@way("function")
def function_attribute_both(model: Any, pick: random.Random) -> None:
    inner = model.functions[1]
    inner.attribute.append("spoilt")
    inner.attribute_proto.append(helper.make_attribute("spoilt", 1))


@way("function")
def function_attribute_not_given(model: Any, pick: random.Random) -> None:
    model.functions[1].attribute.append("spoilt")


@way("function", "input", "output")
def call_with_more(model: Any, pick: random.Random, side: str) -> bool | None:
    node = model.graph.node[0]
    if not node.input:
        return False
    getattr(node, side).append(node.input[0] if side == "input" else "spoilt_more")
    return None


@way("function")
def call_with_fewer(model: Any, pick: random.Random) -> bool | None:
    node = model.graph.node[0]
    if not node.input:
        return False
    del node.input[-1]
    return None


@way("function")
def call_with_an_attribute(model: Any, pick: random.Random) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("spoilt", 1))


@way("function")
def function_operator(model: Any, pick: random.Random) -> None:
    _whole(model).node[0].op_type = "Spoilt"


@way("function")
def function_with_an_old_format(model: Any, pick: random.Random) -> None:
    model.ir_version = 7


@way("function")
def function_duplicate_value(model: Any, pick: random.Random) -> None:
    inner = model.functions[1]
    inner.node.append(helper.make_node("Identity", ["a"], ["b"]))


@way("function")
def function_out_of_order(model: Any, pick: random.Random) -> None:
    inner = model.functions[1]
    inner.node.insert(0, helper.make_node("Identity", ["b"], ["c"]))


@way("function", *TYPES)
def called_with_type(model: Any, pick: random.Random, name: str) -> bool | None:
    return bool(input_type(model, pick, name) is not False)


# Branches.


def _branches(model: Any) -> list[Any]:
    return [a.g for a in model.graph.node[0].attribute]


@way("branch")
def branches(model: Any, pick: random.Random) -> None:
    """As they are: valid."""


@way("branch")
def branch_output_undefined(model: Any, pick: random.Random) -> None:
    pick.choice(_branches(model)).output[0].name = "spoilt_nothing"


@way("branch")
def branch_output_from_around(model: Any, pick: random.Random) -> bool | None:
    if len(model.graph.input) < 2:
        return False
    pick.choice(_branches(model)).output[0].name = model.graph.input[0].name
    return None


@way("branch")
def branch_output_missing(model: Any, pick: random.Random) -> None:
    del pick.choice(_branches(model)).output[-1]


@way("branch")
def branch_output_extra(model: Any, pick: random.Random) -> None:
    one = pick.choice(_branches(model))
    one.output.add().CopyFrom(one.output[0])


@way("branch")
def branch_with_an_input(model: Any, pick: random.Random) -> None:
    info = helper.make_tensor_value_info("spoilt_x", 1, [])
    pick.choice(_branches(model)).input.append(info)


@way("branch", "input", "output", "own")
def branch_shadows(model: Any, pick: random.Random, what: str) -> bool | None:
    one = pick.choice(_branches(model))
    names = {
        "input": model.graph.input[0].name,
        "output": model.graph.output[0].name,
        "own": one.node[0].output[0],
    }
    if not names[what]:
        return False
    one.node.append(helper.make_node("Identity", ["spoilt_c"], [names[what]]))
    return None


@way("branch")
def branch_value_read_outside(model: Any, pick: random.Random) -> bool | None:
    inner = _branches(model)[0].node[0].output[0]
    if not inner:
        return False
    model.graph.node.append(helper.make_node("Identity", [inner], ["spoilt_leak"]))
    return None


@way("branch")
def branch_reads_what_comes_later(model: Any, pick: random.Random) -> None:
    model.graph.node.append(helper.make_node("Identity", ["spoilt_c"], ["spoilt_late"]))
    one = pick.choice(_branches(model))
    one.node.append(helper.make_node("Identity", ["spoilt_late"], ["spoilt_read"]))


@way("branch")
def branch_reads_the_other(model: Any, pick: random.Random) -> bool | None:
    first, second = _branches(model)
    name = first.node[0].output[0]
    if not name:
        return False
    second.node.append(helper.make_node("Identity", [name], ["spoilt_read"]))
    return None


@way("branch")
def branch_missing(model: Any, pick: random.Random) -> None:
    del model.graph.node[0].attribute[pick.randrange(2)]


@way("branch")
def branch_without_name(model: Any, pick: random.Random) -> None:
    pick.choice(_branches(model)).name = ""


@way("branch", *TYPES)
def branch_output_type(model: Any, pick: random.Random, name: str) -> bool | None:
    kind = pick.choice(_branches(model)).output[0].type.tensor_type
    if kind.elem_type == TYPES[name]:
        return False
    kind.elem_type = TYPES[name]
    return None


@way("branch", "longer", "shorter", "none", "dim")
def branch_output_rank(model: Any, pick: random.Random, how: str) -> bool | None:
    one = pick.choice(_branches(model)).output[0]
    shape = one.type.tensor_type.shape
    if how == "longer":
        shape.dim.add().dim_value = 3
    elif how == "none":
        one.type.tensor_type.ClearField("shape")
    elif not shape.dim:
        return False
    elif how == "dim":
        shape.dim[0].dim_value += 3
    else:
        del shape.dim[-1]
    return None


@way("branch")
def branch_differs(model: Any, pick: random.Random) -> bool | None:
    one = pick.choice(_branches(model))
    old = one.output[0].name
    one.node.append(helper.make_node("Identity", ["spoilt_c"], ["spoilt_other"]))
    one.output[0].CopyFrom(helper.make_tensor_value_info("spoilt_other", TensorProto.BOOL, []))
    return bool(old)


@way("branch", "spoilt_c", "float")
def condition(model: Any, pick: random.Random, how: str) -> bool | None:
    info = model.graph.input[-1]
    if how == "float":
        info.type.tensor_type.elem_type = 1
    else:
        info.type.tensor_type.shape.dim.add().dim_value = 2
    return None


@way("branch")
def branch_operator(model: Any, pick: random.Random) -> None:
    pick.choice(_branches(model)).node[0].op_type = "Spoilt"


@way("branch")
def branch_initializer_twice(model: Any, pick: random.Random) -> None:
    one = pick.choice(_branches(model))
    for _ in range(2):
        one.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "spoilt_w"))
