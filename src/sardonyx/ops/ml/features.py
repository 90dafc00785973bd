"""Features of tables: chosen, joined, scaled, normalised, imputed, cut at a threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, binary, cast, const, eq, number, product, reduce, sqrt, unary
from sardonyx.core.expr import where as choose
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Counted, Index, Operand
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import clamp, like, need_rank, refuse, same_dim
from sardonyx.ops.ml.scores import Tabular, one_of


class ArrayFeatureExtractor(Tabular):
    """The elements of the last axis at the places that the second input lists."""

    tolerance = "exact"

    def infer(self, x: Type, places: Type) -> Type:
        need_rank(x, 1, what="X")
        if x.shape is None or places.shape is None:
            return Type(x.dtype)
        first = x.shape[:-1] or (const(1),)
        return Type(x.dtype, (*first, product(places.shape)))

    def reference(self, x: Array, places: Array) -> Array:
        flat, extent = places.reshape(-1), x.shape[-1]
        wrong = flat[(flat < 0) | (flat >= extent)]
        if wrong.size:
            given, wanted = int(wrong[0]), f"0 … {extent - 1}"
            raise InvalidArgument(
                "E0210", f"index {given} is out of range", given=given, wanted=wanted
            )
        return np.atleast_2d(x[..., flat])

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        x = inputs[0]
        if x is None or x.rank is None:
            return ()
        return (Counted(indices=1, data=0, axis=x.rank - 1, from_end=False),)

    def expand(self, graph: Graph, x: Value, places: Value) -> Value | None:
        """The same with all places in one dim; None where they are."""
        if places.type.rank in (1, None):
            return None
        body = Body(graph, "places")
        return body(ArrayFeatureExtractor(), x, body.reshape(places, (-1,)))

    def at(self, idx: Index, x: Operand, places: Operand) -> Expr:
        place = clamp(places[idx[-1]], 0, x.shape[-1] - 1)
        return x[(*idx[: x.rank - 1], place)]


class Binarizer(Tabular):
    """1 where an element is greater than the threshold, else 0."""

    tolerance = "exact"
    threshold: float = 0.0

    def infer(self, x: Type) -> Type:
        return like(x)

    def reference(self, x: Array) -> Array:
        return (x > np.float32(self.threshold)).astype(x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        e = x[idx]
        real = e if e.dtype.is_float else cast(e, DType.FLOAT64)
        return choose(real.like(float(np.float32(self.threshold))) < real, e.like(1), e.like(0))


class FeatureVectorizer(Tabular):
    """The inputs side by side as float32, each cut or filled up with zeros to its number."""

    tolerance = "exact"
    inputdimensions: tuple[int, ...] | None = None

    def widths(self, inputs: Sequence[Type]) -> tuple[Expr, ...] | None:
        """The columns that each input has in the output."""
        given = self.inputdimensions
        if given is not None:
            if len(given) != len(inputs) or min(given, default=0) < 0:
                wanted = f"{len(inputs)} numbers"
                raise refuse("E0341", "`inputdimensions` does not fit", list(given), wanted)
            return tuple(map(const, given))
        if any(t.shape is None for t in inputs):
            return None
        return tuple(product(t.dims[1:]) if len(t.dims) > 1 else t.dims[0] for t in inputs)

    def infer(self, *inputs: Type) -> Type:
        rows: list[Expr] = []
        for t in inputs:
            need_rank(t, 1)
            if t.shape is not None:
                rows.append(t.shape[0] if len(t.shape) > 1 else const(1))
        widths = self.widths(inputs)
        if widths is None or not rows:
            return Type(DType.FLOAT32)
        count = rows[0]
        for other in rows[1:]:
            count = same_dim(count, other)
        total = const(0)
        for w in widths:
            total = total + w
        return Type(DType.FLOAT32, (count, total))

    def reference(self, *inputs: Array) -> Array:
        parts = []
        for n, x in enumerate(inputs):
            rows = x.reshape(1, -1) if x.ndim == 1 else x.reshape(len(x), -1)
            width = rows.shape[1] if self.inputdimensions is None else self.inputdimensions[n]
            part = np.zeros((len(rows), width), np.float32)
            kept = min(width, rows.shape[1])
            part[:, :kept] = rows[:, :kept]
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def expand(self, graph: Graph, *inputs: Value) -> Value | None:
        """A Concat of Casts, cut and filled up; None where the columns are not known."""
        widths = self.widths([v.type for v in inputs])
        if widths is None or any(v.type.rank not in (1, 2) for v in inputs):
            return None
        body = Body(graph, "features")
        parts = []
        for x, width in zip(inputs, widths, strict=True):
            x = body("Cast", x, to=DType.FLOAT32.value)
            x = body.reshape(x, (1, -1)) if x.type.rank == 1 else x
            fitted = x if x.type.dims[1] is width else _fitted(body, x, number(width))
            if fitted is None:
                return None
            parts.append(fitted)
        return body("Concat", *parts, axis=1)


def _fitted(body: Body, x: Value, width: int | None) -> Value | None:
    """The first columns, or more than there are, with zeros."""
    has = number(x.type.dims[1])
    if has is None or width is None:
        return None
    if width > has:
        return body("Pad", x, body.constant(np.array([0, 0, 0, width - has], np.int64)))
    cut = [np.array([n], np.int64) for n in (0, width, 1)]
    return body("Slice", x, *map(body.constant, cut))


class Imputer(Tabular):
    """Elements equal to one value replaced by another one, which may be that of their column."""

    tolerance = "exact"
    imputed_value_floats: tuple[float, ...] | None = None
    imputed_value_int64s: tuple[int, ...] | None = None
    replaced_value_float: float = 0.0
    replaced_value_int64: int = 0

    def values(self, dtype: DType) -> tuple[Array, float | int]:
        """What is put in, as many as columns or one, and for what."""
        given = self.imputed_value_floats if dtype.is_float else self.imputed_value_int64s
        if not given:
            kind = "floats" if dtype.is_float else "int64s"
            raise refuse("E0341", f"`imputed_value_{kind}` is missing for a tensor of {dtype}")
        if dtype.is_float:
            made = np.array(given, np.float32).astype(dtype.numpy)
            return made, float(np.float32(self.replaced_value_float))
        bounds = np.iinfo(dtype.numpy)
        wrong = [n for n in given if not bounds.min <= n <= bounds.max]
        if wrong:
            wanted = f"{bounds.min} … {bounds.max}"
            raise refuse("E0341", "`imputed_value_int64s` is out of range", wrong[0], wanted)
        return np.array(given, dtype.numpy), self.replaced_value_int64

    def infer(self, x: Type) -> Type:
        need_rank(x, 1, what="X")
        if x.dtype is not None:
            given, _ = self.values(x.dtype)
            if len(given) != 1 and x.shape is not None:
                same_dim(x.shape[-1], const(len(given)))
        return like(x)

    def reference(self, x: Array) -> Array:
        given, old = self.values(DType.from_numpy(x.dtype))
        hit = np.isnan(x) if old != old else x == old
        return np.where(hit, given, x)

    def expand(self, graph: Graph, x: Value) -> Value:
        assert x.type.dtype is not None
        given, old = self.values(x.type.dtype)
        body = Body(graph, "imputed")
        if old != old:
            hit = body("IsNaN", x)
        else:
            hit = body("Equal", x, body.constant(np.array(old, x.type.dtype.numpy)))
        return body("Where", hit, body.constant(given), x)


class Normalizer(Tabular):
    """Each row divided by its maximum, its sum of magnitudes or its length, unless that is 0."""

    norm: str = "MAX"

    def infer(self, x: Type) -> Type:
        one_of(self.norm, ("MAX", "L1", "L2"), "norm")
        need_rank(x, 1, 2, "X")
        return like(x, DType.FLOAT32)

    @quiet
    def reference(self, x: Array) -> Array:
        real = np.asarray(x, np.float32)
        if self.norm == "MAX":
            by = np.fmax.reduce(real, axis=-1, keepdims=True, initial=np.finfo(np.float32).min)
        elif self.norm == "L1":
            by = np.abs(real).sum(axis=-1, keepdims=True)
        else:
            by = np.sqrt((real * real).sum(axis=-1, keepdims=True))
        return np.where(by == 0, real, real / by)

    def at(self, idx: Index, x: Operand) -> Expr:
        low = float(np.finfo(np.float32).min)

        def element(k: Expr) -> Expr:
            return cast(x[(*idx[:-1], k)], DType.FLOAT32)

        def clean(k: Expr) -> Expr:
            return choose(unary("isnan", element(k)), element(k).like(low), element(k))

        columns, e = x.shape[-1], element(idx[-1])
        if self.norm == "MAX":
            by = binary("max", reduce("max", columns, clean), low)
        elif self.norm == "L1":
            by = reduce("add", columns, lambda k: unary("abs", element(k)))
        else:
            by = sqrt(reduce("add", columns, lambda k: element(k) * element(k)))
        return choose(eq(by, 0), e, e / by)


class Scaler(Tabular):
    """(x - offset) * scale as float32, each of one number or one for each column."""

    offset: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None

    def infer(self, x: Type) -> Type:
        need_rank(x, 1, what="X")
        for given in (self.offset, self.scale):
            if given is not None and len(given) != 1 and x.shape is not None:
                same_dim(x.shape[-1], const(len(given)))
        return like(x, DType.FLOAT32)

    def factors(self, dtype: DType) -> tuple[DType, Array | None, Array | None]:
        """The type to compute in, and what is taken away and multiplied with."""
        real = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
        found = (
            None if given is None else np.array(given, np.float32).astype(real.numpy)
            for given in (self.offset, self.scale)
        )  # fmt: skip
        return real, *found  # type: ignore[return-value]

    @quiet
    def reference(self, x: Array) -> Array:
        real, offset, scale = self.factors(DType.from_numpy(x.dtype))
        y = x.astype(real.numpy)
        y = y if offset is None else y - offset
        return np.asarray(y if scale is None else y * scale, np.float32)

    def expand(self, graph: Graph, x: Value) -> Value:
        assert x.type.dtype is not None
        real, offset, scale = self.factors(x.type.dtype)
        body = Body(graph, "scaled")
        y = body("Cast", x, to=real.value)
        y = y if offset is None else body("Sub", y, body.constant(offset))
        y = y if scale is None else body("Mul", y, body.constant(scale))
        return body("Cast", y, to=DType.FLOAT32.value)
