"""Encoders of categories: by a dictionary, one to many, one hot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, cast, const, eq, minimum, number, unary, where
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.shapes import like, refuse
from sardonyx.ops.ml.scores import Tabular

_KINDS = {"float": DType.FLOAT32, "int64": DType.INT64, "string": DType.STRING}


def _only(found: Mapping[str, Any], what: str) -> tuple[str, Any]:
    """The one list of several that is given; E0341 where it is not one."""
    given = [(kind, value) for kind, value in found.items() if value is not None]
    if len(given) != 1:
        names = ", ".join(f"{what}_{kind}s" for kind in found)
        raise refuse("E0341", f"one of {names} must be given", len(given), 1)
    return given[0]


def _list(kind: str, value: Any) -> Array:
    if isinstance(value, Tensor):
        return value.numpy().reshape(-1)
    if kind == "string":
        return np.array([*value, ""], object)[:-1]
    return np.array(value, _KINDS[kind].numpy)


class _Encoder(Tabular, abstract=True):
    """Every element replaced by what stands for it, or by a default."""

    tolerance = "exact"

    @property
    def pairs(self) -> tuple[Array, Array, Any]:
        """The keys, what stands for each of them (the last of equal ones counts), and the rest."""
        raise NotImplementedError

    def infer(self, x: Type) -> Type:
        keys, values, _ = self.pairs
        wanted = DType.from_numpy(keys.dtype)
        if x.dtype not in (None, wanted):
            raise refuse("E0323", "the keys are of another type than the input", x.dtype, wanted)
        return like(x, DType.from_numpy(values.dtype))

    @cached_property
    def table(self) -> dict[Any, Any]:
        """The values by key; NaN has the key None."""
        keys, values, _ = self.pairs
        return {_key(k): v for k, v in zip(keys.tolist(), values.tolist(), strict=True)}

    def reference(self, x: Array) -> Array:
        _, values, rest = self.pairs
        found = [self.table.get(_key(e), rest) for e in x.reshape(-1).tolist()]
        out = np.empty(x.size, values.dtype)
        out[:] = found
        return out.reshape(x.shape)

    def expand(self, graph: Graph, x: Value) -> Value | None:
        """A LookUp; None where strings are looked up, which compiled code has not."""
        _, values, rest = self.pairs
        if x.type.dtype is None or not x.type.dtype.is_int | x.type.dtype.is_float:
            return None
        if values.dtype == object:
            return None
        kind = x.type.dtype.numpy
        plain = {k: v for k, v in self.table.items() if k is not None}
        order = sorted(plain)
        keys = np.array(order, kind)
        found = np.array([*(plain[k] for k in order), self.table.get(None, rest), rest])
        body = Body(graph, "encoded")
        return body(LookUp(), x, body.constant(keys), body.constant(found.astype(values.dtype)))


def _key(e: Any) -> Any:
    return None if e != e else e


class LookUp(Op):
    """The value of the key that an element equals: x, keys [K] (sorted), values [K + 2].

    The last value but one stands for NaN, the last one for what is no key.
    """

    domain = "ai.sardonyx"
    tolerance = "exact"

    def infer(self, x: Type, keys: Type, values: Type) -> Type:
        del keys
        return like(x, values.dtype)

    def reference(self, x: Array, keys: Array, values: Array) -> Array:
        at = np.searchsorted(keys, x)
        hit = np.append(keys, keys[-1:])[at] == x if len(keys) else np.zeros(x.shape, bool)
        at = np.where(hit, at, len(values) - 1)
        return np.asarray(values[np.where(np.isnan(x), len(values) - 2, at)])

    def at(self, idx: Index, x: Operand, keys: Operand, values: Operand) -> Expr:
        e, count = x[idx], number(keys.shape[0])
        if count is None:
            raise NotImplementedError("the number of keys is not known")
        rest = const(count + 1)
        place = self._found(e, keys, count) if count else rest
        if e.dtype.is_float:
            place = where(unary("isnan", e), const(count), place)
        return values[place]

    def _found(self, e: Expr, keys: Operand, count: int) -> Expr:
        """The place of the last key that is not greater, by halving; the rest's unless equal."""
        place, step = const(0), 1 << (count.bit_length() - 1)
        while step:
            further = minimum(place + step, count - 1)
            place = where(keys[further] <= e, further, place)
            step //= 2
        return where(eq(keys[place], e), place, const(count + 1))


class LabelEncoderV2(_Encoder):
    """LabelEncoder of versions 2 and 3, whose lists are no tensors."""

    default_float: float = -0.0
    default_int64: int = -1
    default_string: str = "_Unused"
    keys_floats: tuple[float, ...] | None = None
    keys_int64s: tuple[int, ...] | None = None
    keys_strings: tuple[str, ...] | None = None
    values_floats: tuple[float, ...] | None = None
    values_int64s: tuple[int, ...] | None = None
    values_strings: tuple[str, ...] | None = None

    def lists(self, what: str) -> dict[str, Any]:
        """The keys or values by kind, None where they are not given."""
        return {kind: getattr(self, f"{what}_{kind}s") for kind in _KINDS}

    @cached_property
    def pairs(self) -> tuple[Array, Array, Any]:
        keys, values = (_list(*_only(self.lists(what), what)) for what in ("keys", "values"))
        if len(keys) != len(values):
            raise refuse("E0341", "keys and values differ in number", len(values), len(keys))
        return keys, values, self.default(DType.from_numpy(values.dtype))

    def default(self, dtype: DType) -> Any:
        """What stands for an element that is no key."""
        if dtype.is_string:
            return self.default_string
        return dtype.numpy.type(self.default_float if dtype.is_float else self.default_int64)


class LabelEncoder(LabelEncoderV2):
    """Keys to values of any types, with a default of the values' type."""

    since = 4
    default_tensor: Tensor | None = None
    keys_tensor: Tensor | None = None
    values_tensor: Tensor | None = None

    def lists(self, what: str) -> dict[str, Any]:
        return {**super().lists(what), "tensor": getattr(self, f"{what}_tensor")}

    def default(self, dtype: DType) -> Any:
        given = self.default_tensor
        if given is None:
            return super().default(dtype)
        if given.dtype is not dtype or given.count != 1:
            wanted = f"one element of {dtype}"
            raise refuse("E0341", "`default_tensor` does not fit the values", given, wanted)
        return given.numpy().reshape(-1)[0]


class _Dictionary(_Encoder, abstract=True):
    """Strings to integers, or back, by two lists."""

    default_int64: int = -1
    default_string: str = "_Unused"

    def lists(self) -> tuple[Array, Array]:
        """The strings and the integers of the dictionary."""
        raise NotImplementedError

    @cached_property
    def _both(self) -> tuple[Array, Array]:
        return self.lists()

    def infer(self, x: Type) -> Type:
        strings, ints = self._both
        if len(strings) != len(ints):
            raise refuse("E0341", "strings and integers differ in number", len(ints), len(strings))
        if x.dtype not in (None, DType.STRING, DType.INT64):
            raise refuse("E0323", "categories are strings or integers", x.dtype, "string, int64")
        back = {DType.STRING: DType.INT64, DType.INT64: DType.STRING, None: None}
        return like(x) if x.dtype is None else like(x, back[x.dtype])

    def reference(self, x: Array) -> Array:
        strings, ints = (a.tolist() for a in self._both)
        if x.dtype == object:
            known, rest = dict(zip(strings, ints, strict=True)), self.default_int64
            found = [known.get(e, rest) for e in x.reshape(-1).tolist()]
            return np.array(found, np.int64).reshape(x.shape)
        back, text = dict(zip(ints, strings, strict=True)), self.default_string
        out = np.empty(x.size, object)
        out[:] = [back.get(e, text) for e in x.reshape(-1).tolist()]
        return out.reshape(x.shape)

    def expand(self, graph: Graph, x: Value) -> None:
        """Strings are looked up in Python."""
        del graph, x


class CategoryMapper(_Dictionary):
    """Strings to integers, or integers to strings, by two lists of the same length."""

    cats_int64s: tuple[int, ...] | None = None
    cats_strings: tuple[str, ...] | None = None

    def lists(self) -> tuple[Array, Array]:
        return _list("string", self.cats_strings or ()), _list("int64", self.cats_int64s or ())


class LabelEncoderV1(_Dictionary):
    """LabelEncoder of version 1: a string and its number in a list, either way."""

    since = 1
    classes_strings: tuple[str, ...] | None = None

    def lists(self) -> tuple[Array, Array]:
        strings = _list("string", self.classes_strings or ())
        return strings, np.arange(len(strings))


class OneHotEncoder(Tabular):
    """A new last axis with 1 at the place of the element among the categories, 0 elsewhere."""

    tolerance = "exact"
    cats_int64s: tuple[int, ...] | None = None
    cats_strings: tuple[str, ...] | None = None
    zeros: int = 1

    @cached_property
    def categories(self) -> Array:
        """The categories; of equal ones the last counts."""
        found = {"int64": self.cats_int64s, "string": self.cats_strings}
        return _list(*_only(found, "cats"))

    def infer(self, x: Type) -> Type:
        texts = self.categories.dtype == object
        if x.dtype is not None and x.dtype.is_string != texts:
            wanted = "strings" if texts else "numbers"
            raise refuse("E0323", "the categories are of another type", x.dtype, wanted)
        dims = None if x.shape is None else (*x.shape, const(len(self.categories)))
        return Type(DType.FLOAT32, dims)

    def reference(self, x: Array) -> Array:
        cats = self.categories
        known = {c: n for n, c in enumerate(cats.tolist())}
        flat = x.reshape(-1) if x.dtype == object else np.trunc(x.reshape(-1))
        places = np.array([known.get(e, -1) for e in flat.tolist()], np.int64)
        if not self.zeros and (places < 0).any():
            given = x.reshape(-1)[places < 0][0]
            raise InvalidArgument(
                "E0404", "an element is no category", given=given, wanted="one of the list"
            )
        out = np.zeros((x.size, len(cats)), np.float32)
        out[np.arange(x.size), places] = places >= 0
        return out.reshape(*x.shape, len(cats))

    def expand(self, graph: Graph, x: Value) -> Value | None:
        """A comparison with each category; None for strings and where a stranger is an error."""
        cats, dtype = self.categories, x.type.dtype
        if (
            dtype is None
            or dtype.is_string
            or not self.zeros
            or len(set(cats.tolist())) < len(cats)
        ):
            return None
        made = cats.astype(dtype.numpy)
        if (made.astype(np.float64) != cats).any() or not len(cats):
            return None
        body = Body(graph, "hot")
        return body(IsCategory(), x, body.constant(made))


class IsCategory(Op):
    """1 where an element without its fraction is the category at the last subscript, else 0."""

    domain = "ai.sardonyx"
    tolerance = "exact"

    def infer(self, x: Type, cats: Type) -> Type:
        return Type(DType.FLOAT32, (*x.dims, *cats.dims))

    def reference(self, x: Array, cats: Array) -> Array:
        return np.asarray(np.trunc(x)[..., None] == cats, np.float32)

    def at(self, idx: Index, x: Operand, cats: Operand) -> Expr:
        e = x[idx[:-1]]
        whole = unary("trunc", e) if e.dtype.is_float else e
        return cast(eq(whole, cats[idx[-1]]), DType.FLOAT32)
