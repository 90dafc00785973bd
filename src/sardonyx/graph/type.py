"""The type of a value: what is known of it before running."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, number, product, show
from sardonyx.core.tensor import Tensor

# Integers are shapes, axes and indices, a thousand at most; floats are the scales of Resize.
KNOWN_INTEGERS, KNOWN_FLOATS = 1024, 16
TypeKind = Literal["tensor", "sparse", "sequence", "optional", "map", "opaque"]


@dataclass(frozen=True, slots=True)
class Type:
    """What is known of a value before running.

    `shape` is a tuple of int64 Expr, or None where not even the rank is known. `value` holds the
    elements of a small tensor, row-major, as Expr, where they are known or are arithmetic on
    dims. `elem` is the type that a container holds.
    """

    dtype: DType | None = None
    shape: tuple[Expr, ...] | None = None
    value: tuple[Expr, ...] | None = None
    kind: TypeKind = "tensor"
    elem: Type | None = None

    @property
    def rank(self) -> int | None:
        """The number of dims, or None when unknown."""
        return None if self.shape is None else len(self.shape)

    @property
    def dims(self) -> tuple[Expr, ...]:
        """The shape of a value whose rank is known."""
        if self.shape is None:
            raise ValueError("the rank is not known")
        return self.shape

    @property
    def count(self) -> Expr:
        """The number of elements."""
        return product(self.dims)

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape as integers, or None when some dim is symbolic."""
        if self.shape is None:
            return None
        dims = [number(d) for d in self.shape]
        return None if None in dims else tuple(d for d in dims if d is not None)

    def __str__(self) -> str:
        if self.kind != "tensor":
            return f"{self.kind}({self.elem or '?'})"
        dims = "?" if self.shape is None else ",".join(show(d) for d in self.shape)
        return f"{self.dtype or '?'}[{dims}]"

    def with_shape(self, shape: Iterable[Expr | int]) -> Type:
        """This type with another shape and no known value."""
        return replace(self, shape=tuple(const(d) for d in shape), value=None)


def tensor_type(dtype: DType, shape: Iterable[Expr | int] | None) -> Type:
    """The type of a tensor; integers in the shape become constant dims."""
    return Type(dtype, None if shape is None else tuple(const(d) for d in shape))


def countable(dtype: DType) -> int:
    """How many elements of a type are worth knowing before running; 0 for text and complex."""
    if dtype.is_string or dtype.is_complex:
        return 0
    return KNOWN_FLOATS if dtype.is_float else KNOWN_INTEGERS


def elements(array: Any, dtype: DType) -> tuple[Expr, ...] | None:
    """The elements of a small array as constant expressions; None where they are too many."""
    if array.size > countable(dtype):
        return None
    return tuple(const(x, dtype) for x in array.reshape(-1).tolist())


def array_type(array: Any) -> Type:
    """The type of an array, with its elements where they are few."""
    dtype = DType.from_numpy(array.dtype)
    return Type(dtype, tuple(const(d) for d in array.shape), elements(array, dtype))


def constant_type(tensor: Tensor) -> Type:
    """The type of a constant, with its elements where they are few; large ones are not fetched."""
    if tensor.count <= countable(tensor.dtype):
        return array_type(tensor.numpy())
    return Type(tensor.dtype, tuple(const(d) for d in tensor.shape))
