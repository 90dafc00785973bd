"""Ways to spoil initializers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from conformance.spoiling import TYPES, way


def _held(model: Any) -> Any:
    return model.graph.initializer[-1]


@way("initialized")
def held(model: Any, pick: random.Random) -> None:
    """As it is: valid."""


@way("initialized", "more", "less", "negative", "none", "huge", "zero")
def held_dims(model: Any, pick: random.Random, how: str) -> None:
    dims = _held(model).dims
    dims[:] = {
        "more": [dims[0] + 1, *dims[1:]], "less": [max(dims[0] - 1, 0), *dims[1:]],
        "negative": [-dims[0], *dims[1:]], "none": [], "huge": [1 << 40, 1 << 40],
        "zero": [0, *dims[1:]],
    }[how]  # fmt: skip


@way("initialized", *TYPES)
def held_type(model: Any, pick: random.Random, name: str) -> bool | None:
    if _held(model).data_type == TYPES[name]:
        return False
    _held(model).data_type = TYPES[name]
    return None


@way("initialized")
def held_without_type(model: Any, pick: random.Random) -> None:
    _held(model).ClearField("data_type")


@way("initialized", "short", "long", "empty")
def held_bytes(model: Any, pick: random.Random, how: str) -> bool | None:
    one = _held(model)
    if not one.raw_data:
        return False
    if how == "empty":
        one.ClearField("raw_data")
    else:
        one.raw_data = one.raw_data[:-1] if how == "short" else one.raw_data + b"\0"
    return None


@way("initialized", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
def held_twice(model: Any, pick: random.Random, name: str) -> None:
    getattr(_held(model), name).append(1)


@way("initialized", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
def held_typed(model: Any, pick: random.Random, name: str) -> None:
    one = _held(model)
    one.ClearField("raw_data")
    getattr(one, name).extend([1] * int(np.prod(one.dims)))


@way("initialized", "float_data", "int32_data", "int64_data")
def held_typed_short(model: Any, pick: random.Random, name: str) -> None:
    one = _held(model)
    one.ClearField("raw_data")
    getattr(one, name).extend([1] * (int(np.prod(one.dims)) - 1))


@way("initialized", "", "gone")
def held_name(model: Any, pick: random.Random, name: str) -> None:
    if name:
        _held(model).ClearField("name")
    else:
        _held(model).name = ""


@way("initialized")
def held_name_twice(model: Any, pick: random.Random) -> None:
    model.graph.initializer.add().CopyFrom(_held(model))


@way("initialized")
def held_name_of_an_output(model: Any, pick: random.Random) -> bool | None:
    name = model.graph.node[0].output[0]
    if not name:
        return False
    model.graph.initializer.add().CopyFrom(_held(model))
    _held(model).name = name
    return None


@way("initialized", "same", "type", "dims", "rank")
def held_and_declared(model: Any, pick: random.Random, how: str) -> None:
    one = _held(model)
    dims = {"dims": [one.dims[0] + 1, *one.dims[1:]], "rank": [*one.dims, 1]}.get(how, one.dims)
    kind = one.data_type if how != "type" else (1 if one.data_type != 1 else 7)
    model.graph.input.append(helper.make_tensor_value_info(one.name, kind, dims))


@way("initialized")
def held_by_an_old_format(model: Any, pick: random.Random) -> None:
    model.ir_version = 3


@way("initialized", "missing", "nowhere", "../up", "/etc/hostname", "", "twice", "offset")
def held_elsewhere(model: Any, pick: random.Random, where: str) -> None:
    one = _held(model)
    one.ClearField("raw_data")
    one.data_location = TensorProto.EXTERNAL
    pairs = [("location", "spoilt.bin" if where in ("twice", "offset") else where)]
    if where == "missing":
        pairs = [("offset", "0")]
    if where == "twice":
        pairs *= 2
    if where == "offset":
        pairs.append(("offset", "-1"))
    for key, value in pairs:
        entry = one.external_data.add()
        entry.key, entry.value = key, value


@way("initialized")
def held_here_and_elsewhere(model: Any, pick: random.Random) -> None:
    one = _held(model)
    one.data_location = TensorProto.EXTERNAL
    entry = one.external_data.add()
    entry.key, entry.value = "location", "spoilt.bin"


@way("initialized")
def held_text_as_bytes(model: Any, pick: random.Random) -> None:
    _held(model).data_type = TensorProto.STRING


# Sparse initializers.


def _sparse(model: Any) -> Any:
    return model.graph.sparse_initializer[-1]


def _indices(model: Any, *values: Any, dtype: Any = np.int64) -> None:
    _sparse(model).indices.CopyFrom(numpy_helper.from_array(np.array(values, dtype), "spoilt_i"))


@way("sparse")
def sparse_plain(model: Any, pick: random.Random) -> None:
    """As it is: valid."""


@way("sparse")
def sparse_in_rows(model: Any, pick: random.Random) -> None:
    _indices(model, [0, 1], [1, 2], [3, 4])


_SPARSE: dict[str, tuple[Any, ...]] = {
    "few": (1, 2), "many": (1, 2, 3, 4), "unsorted": (7, 1, 19), "twice": (1, 1, 19),
    "negative": (-1, 2, 3), "large": (1, 2, 20), "wide": ([0, 1, 0], [1, 2, 0], [3, 4, 0]),
    "rows unsorted": ([1, 2], [0, 1], [3, 4]), "rows large": ([0, 1], [1, 2], [4, 4]),
    "deep": ([[0], [1]], [[1], [2]], [[3], [4]]),
}  # fmt: skip


@way("sparse", *_SPARSE)
def sparse_indices(model: Any, pick: random.Random, how: str) -> None:
    _indices(model, *_SPARSE[how])


@way("sparse", "int32", "float32")
def sparse_indices_of(model: Any, pick: random.Random, name: str) -> None:
    _indices(model, 1, 7, 19, dtype=np.dtype(name))


@way("sparse", "gone", "negative", "zero")
def sparse_dims(model: Any, pick: random.Random, how: str) -> None:
    _sparse(model).dims[:] = {"gone": [], "negative": [4, -5], "zero": [0, 5]}[how]


@way("sparse", "indices", "values", "name", "rank", "bytes")
def sparse_without(model: Any, pick: random.Random, what: str) -> None:
    one = _sparse(model)
    if what in ("indices", "values"):
        one.ClearField(what)
    elif what == "name":
        one.values.name = ""
    elif what == "rank":
        one.values.dims[:] = [3, 1]
    else:
        one.values.raw_data = one.values.raw_data[:-4]


@way("sparse")
def sparse_name_twice(model: Any, pick: random.Random) -> None:
    model.graph.sparse_initializer.add().CopyFrom(_sparse(model))
