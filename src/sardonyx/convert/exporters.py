"""What sources of several frameworks share: requirements, names of dims and outputs, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sardonyx.convert.place import origin
from sardonyx.convert.source import Exported, Input, Request
from sardonyx.core.errors import ConvertError

TENSORFLOW = (
    "tensorflow-cpu==2.21.0; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow==2.21.0; sys_platform != 'linux' or platform_machine != 'x86_64'",
    "keras==3.15.1",
    "tf2onnx==1.17.0",
    "onnx==1.23.2",
)
JAX = ("jax==0.10.2", "jax2onnx==0.17.1", "onnx==1.23.2")


def named_dims(
    shapes: Iterable[tuple[str, Sequence[int | None]]],
) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """(name, dims) with symbols for what is open (None or below 0): N for first axes, D1, D2 … for
    the others.
    """
    count = 0
    for name, shape in shapes:
        dims: list[int | str] = []
        for axis, size in enumerate(shape):
            if size is not None and size >= 0:
                dims.append(int(size))
            elif axis == 0:
                dims.append("N")
            else:
                count += 1
                dims.append(f"D{count}")
        yield name, tuple(dims)


def fitted(own: list[Input], request: Request) -> list[Input]:
    """A model's own inputs, or with the names and symbols of the shapes that were asked for.

    ConvertError (E0608) where those have another number or rank.
    """
    if not request.specs:
        return own
    if [len(s.dims) for s in request.specs] != [len(i.dims) for i in own]:
        raise ConvertError(
            "E0608",
            "the model has other inputs",
            given=", ".join(map(str, request.specs)),
            wanted=", ".join(str(i.spec) for i in own),
            hint="its inputs are known: leave --input out",
        )
    pairs = zip(request.specs, own, strict=True)
    return [replace(i, name=s.name, dims=s.dims) for s, i in pairs]


def flat_outputs(found: Any, stem: str = "") -> dict[str, Any]:
    """The tensors of nested outputs by name: `output`, the keys of a mapping, `output_0` …"""
    if isinstance(found, Mapping):
        items = [(str(k), x) for k, x in found.items()]
    elif isinstance(found, list | tuple):
        items = [(f"output_{n}" if not stem else str(n), x) for n, x in enumerate(found)]
    else:
        return {stem or "output": found}
    held: dict[str, Any] = {}
    for key, x in items:
        held |= flat_outputs(x, f"{stem}_{key}" if stem else key)
    return held


def short(problem: BaseException) -> str:
    """The kind of an exception and the beginning of its text."""
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:300]}"


def by_tf2onnx(
    call: Callable[..., Any], inputs: Sequence[Input], outputs: Sequence[str], opset: int | None
) -> Exported:
    """A function of TensorFlow's tensors, in the order of the inputs, by tf2onnx.

    ConvertError (E0602) with its own words.
    """
    import tensorflow as tf
    import tf2onnx

    signature = [
        tf.TensorSpec([None if isinstance(d, str) else d for d in i.dims], str(i.dtype), i.name)
        for i in inputs
    ]
    try:
        made, _ = tf2onnx.convert.from_function(
            tf.function(call),
            input_signature=signature,
            opset=opset,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    except Exception as problem:
        said = f"tf2onnx failed: {short(problem)}"
        raise ConvertError("E0602", said, source=origin(problem)) from problem
    return Exported(bytes(made.SerializeToString()), outputs=outputs)


def by_jax2onnx(
    call: Callable[..., Any], inputs: Sequence[Input], outputs: Sequence[str], opset: int | None
) -> Exported:
    """A function of JAX's arrays, in the order of the inputs, to a sequence of them, by jax2onnx.

    ConvertError (E0602) with its own words.
    """
    import jax
    from jax2onnx import to_onnx

    shapes = [jax.ShapeDtypeStruct(i.dims, i.dtype.numpy) for i in inputs]
    names = [i.name for i in inputs]
    try:
        made = to_onnx(
            call, shapes, input_names=names, **({} if opset is None else {"opset": opset})
        )
    except Exception as problem:
        said = f"jax2onnx failed: {short(problem)}"
        raise ConvertError("E0602", said, source=origin(problem)) from problem
    return Exported(bytes(made.SerializeToString()), outputs=outputs)


def _erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """1 - erf(x), which tf2onnx cannot say: the exact Gelu of Keras is made of it."""
    from tf2onnx import utils

    del name, arguments
    dtype = graph.get_dtype(node.output[0])
    one = np.ones((), utils.map_onnx_to_numpy_type(dtype))
    shapes, outputs = node.output_shapes, node.output
    constant = graph.make_const(utils.make_name("one"), one)
    erf = graph.make_node("Erf", node.input)
    graph.remove_node(node.name)
    terms = [constant.output[0], erf.output[0]]
    graph.make_node("Sub", terms, name=node.name, outputs=outputs, shapes=shapes, dtypes=[dtype])
