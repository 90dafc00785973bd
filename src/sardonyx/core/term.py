"""The nodes of the expression DAG and their constructors (import them from `core.expr`).

    Expr := const | var | load(index) | reduce(extent, body) | op(Expr, ...)

Two structurally equal expressions are the same object, so `is` and `==` compare structure and
a dict keyed by Expr is a common-subexpression table. `int64` expressions are index arithmetic:
sums and products are kept as polynomials with a canonical term order, floor-division and modulo
are simplified with the facts that variables carry (`dim` symbols are >= 1, a loop variable is in
[0, extent)). Expressions of every other dtype keep the order in which they were written, because
floating-point arithmetic is not associative.
"""

from __future__ import annotations

import functools
import itertools
from _weakref import _remove_dead_weakref  # type: ignore[attr-defined]
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias
from weakref import KeyedRef, WeakValueDictionary

import numpy as np

from sardonyx.core import scalar as element
from sardonyx.core.dtype import DType
from sardonyx.core.operations import OPERATIONS, Operation, find

Scalar: TypeAlias = "Expr | int | float | bool"

INDEX = DType.INT64


_table: WeakValueDictionary[tuple[Any, ...], Expr] = WeakValueDictionary()
_nodes: dict[tuple[Any, ...], Any] = _table.data  # type: ignore[attr-defined]
_gone: Callable[[Any], None] = _table._remove  # type: ignore[attr-defined]
_fresh = itertools.count()


class Expr:
    """One node of the expression DAG; build it with the functions of `core.expr`.

    `op` names the operation, `args` are its operands, `arg` its static argument (the number of a
    const, the name of a var, the buffer of a load, the combining operation of a reduce). `free`
    are the variables in it, `height` is how deep it is nested, `key` orders expressions.
    """

    __slots__ = ("__weakref__", "arg", "args", "dtype", "free", "height", "key", "op")

    op: str
    args: tuple[Expr, ...]
    arg: Any
    dtype: DType
    key: bytes
    free: frozenset[Expr]
    height: int

    def __repr__(self) -> str:
        return show(self)

    def __add__(self, other: Scalar) -> Expr:
        return add(self, other)

    def __radd__(self, other: Scalar) -> Expr:
        return add(self.like(other), self)

    def __sub__(self, other: Scalar) -> Expr:
        return sub(self, other)

    def __rsub__(self, other: Scalar) -> Expr:
        return sub(self.like(other), self)

    def __mul__(self, other: Scalar) -> Expr:
        return mul(self, other)

    def __rmul__(self, other: Scalar) -> Expr:
        return mul(self.like(other), self)

    def __truediv__(self, other: Scalar) -> Expr:
        return binary("div", self, other)

    def __rtruediv__(self, other: Scalar) -> Expr:
        return binary("div", self.like(other), self)

    def __floordiv__(self, other: Scalar) -> Expr:
        return floordiv(self, other)

    def __mod__(self, other: Scalar) -> Expr:
        return mod(self, other)

    def __neg__(self) -> Expr:
        return mul(self, -1) if self.dtype is INDEX else unary("neg", self)

    def __lt__(self, other: Scalar) -> Expr:
        return binary("lt", self, other)

    def __le__(self, other: Scalar) -> Expr:
        return binary("le", self, other)

    def __gt__(self, other: Scalar) -> Expr:
        return binary("lt", self.like(other), self)

    def __ge__(self, other: Scalar) -> Expr:
        return binary("le", self.like(other), self)

    def __and__(self, other: Scalar) -> Expr:
        return binary("and", self, other)

    def __or__(self, other: Scalar) -> Expr:
        return binary("or", self, other)

    def __bool__(self) -> bool:
        if self.op == "const":
            return bool(self.arg)
        raise TypeError(f"the truth of `{self}` is not known before running")

    def like(self, other: Scalar) -> Expr:
        """`other` as an expression, a Python number taking this expression's dtype."""
        return other if isinstance(other, Expr) else const(other, self.dtype)

    @property
    def is_const(self) -> bool:
        """Whether this is a literal number."""
        return self.op == "const"


def make(op: str, args: tuple[Expr, ...], arg: Any, dtype: DType) -> Expr:
    """The one node with these parts, without simplifying; for the constructors' use."""
    ident = (op, args, arg, id(dtype), type(arg))
    known = _nodes.get(ident)
    found = known() if known is not None else None
    return _make(ident, dtype) if found is None else found


def _make(ident: tuple[Any, ...], dtype: DType) -> Expr:
    op, args, arg, *_ = ident
    self = object.__new__(Expr)
    self.op, self.args, self.arg, self.dtype = op, args, arg, dtype
    text = f"{op}|{arg!r}|{dtype.value}|".encode()
    self.key = blake2b(text + b"".join(a.key for a in args), digest_size=8).digest()
    self.free = _free_variables(self)
    self.height = 1 + max((a.height for a in args if op != "load"), default=0)
    # No lock, which a finalizer or a forked child would meet: a dict's own methods are atomic.
    ref = KeyedRef(self, _gone, ident)
    while (found := _nodes.setdefault(ident, ref)()) is None:
        _remove_dead_weakref(_nodes, ident)
    made: Expr = found
    return made


def _free_variables(e: Expr) -> frozenset[Expr]:
    if e.op == "var":
        return frozenset((e,))
    if e.op == "reduce":
        bound = e.args[0]
        return (e.args[1].free - {bound}) | bound.args[0].free
    if not e.args:
        return _NONE
    if len(e.args) == 1:
        return e.args[0].free
    out = e.args[0].free
    for a in e.args[1:]:
        if not a.free <= out:
            out = a.free if out <= a.free else out | a.free
    return out


_NONE: frozenset[Expr] = frozenset()


def const(value: Scalar, dtype: DType = INDEX) -> Expr:
    """A literal of the given dtype; a Python float keeps its bits through `float.hex`."""
    if isinstance(value, Expr):
        return value
    if dtype.is_bool:
        number: Any = bool(value)
    elif dtype.is_int:
        number = int(value)
    else:
        number = _Float(value)
    return make("const", (), number, dtype)


class _Float(float):
    """A float whose equality separates 0.0 from -0.0 and unifies NaN, as hash-consing needs."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and self.hex() == other.hex()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.hex())


def number(e: Expr | int) -> int | None:
    """The integer that an index expression is known to be, or None."""
    if isinstance(e, int):
        return e
    return e.arg if e.op == "const" else None


def symbol(name: str, lower: int = 1) -> Expr:
    """A dimension known only when running: an int64 that is at least `lower`."""
    return make("var", (), (name, lower), INDEX)


def var(name: str, extent: Expr | int) -> Expr:
    """A loop variable: an int64 in [0, extent)."""
    return make("var", (const(extent),), (name, 0), INDEX)


def scalar(name: str, dtype: DType) -> Expr:
    """A named run-time scalar of any dtype (an accumulator, a let-bound value)."""
    return make("var", (), (name, None), dtype)


def fresh(extent: Expr | int) -> Expr:
    """A loop variable with a name used nowhere else."""
    return var(f"_{next(_fresh)}", extent)


def name_of(v: Expr) -> str:
    """The name of a variable."""
    return str(v.arg[0])


def load(buffer: Any, index: Iterable[Scalar], dtype: DType) -> Expr:
    """The element of `buffer` (any hashable with a stable repr) at `index`."""
    return make("load", tuple(const(i) for i in index), buffer, dtype)


def cast(e: Expr, dtype: DType) -> Expr:
    """`e` converted as ONNX Cast does; a float to an integer as `core.scalar` says."""
    if e.dtype is dtype:
        return e
    if e.op == "const":
        with np.errstate(all="ignore"):
            return const(element.cast(element.of(e.arg, e.dtype), e.dtype, dtype), dtype)
    return make("cast", (e,), None, dtype)


def unary(op: str, e: Expr) -> Expr:
    """A one-operand operation on an element."""
    row = find(op, 1)
    if op == "not" and e.op == "const":
        return const(not e.arg, DType.BOOL)
    return make(op, (e,), None, _result(row, e.dtype))


def binary(op: str, a: Expr, b: Scalar) -> Expr:
    """A two-operand operation; a Python number takes the other side's dtype."""
    row = find(op, 2)
    right = a.like(b)
    if a.dtype is not right.dtype:
        raise TypeError(f"{op} of {a.dtype} and {right.dtype}: {a} and {right}")
    if a.dtype is INDEX and op in _INDEX_RULES:
        return _simplified(op, a, right)
    if op in ("and", "or") and a.dtype.is_bool:
        return _logic(op, a, right)
    return make(op, (a, right), None, _result(row, a.dtype))


def _result(row: Operation, dtype: DType) -> DType:
    return DType.BOOL if row.result == "bool" else dtype


def operate(op: str, args: tuple[Expr, ...], dtype: DType | None = None) -> Expr:
    """An operation on operands as they are, without simplifying; `dtype` where it is given."""
    return make(op, args, None, dtype or _result(find(op), args[-1].dtype))


@functools.lru_cache(1 << 16)
def _simplified(op: str, a: Expr, b: Expr) -> Expr:
    return _INDEX_RULES[op](a, b)


def _logic(op: str, a: Expr, b: Expr) -> Expr:
    for x, y in ((a, b), (b, a)):
        if x.op == "const":
            return (y if x.arg else x) if op == "and" else (x if x.arg else y)
    return a if a is b else make(op, (a, b), None, DType.BOOL)


def add(a: Expr, b: Scalar) -> Expr:
    """a + b."""
    return binary("add", a, b)


def sub(a: Expr, b: Scalar) -> Expr:
    """a - b."""
    return binary("sub", a, b)


def mul(a: Expr, b: Scalar) -> Expr:
    """a * b."""
    return binary("mul", a, b)


def floordiv(a: Expr, b: Scalar) -> Expr:
    """a // b rounded to minus infinity."""
    return binary("floordiv", a, b)


def mod(a: Expr, b: Scalar) -> Expr:
    """a - (a // b) * b, with the sign of b."""
    return binary("mod", a, b)


def minimum(a: Expr, b: Scalar) -> Expr:
    """The smaller; NaN where either is NaN."""
    return binary("min", a, b)


def maximum(a: Expr, b: Scalar) -> Expr:
    """The larger; NaN where either is NaN."""
    return binary("max", a, b)


def eq(a: Expr, b: Scalar) -> Expr:
    """Whether a equals b (`==` on Expr compares structure)."""
    return binary("eq", a, b)


def where(condition: Expr, yes: Expr, no: Scalar) -> Expr:
    """`yes` where the bool `condition` holds, else `no`; only the chosen side is evaluated."""
    other = yes.like(no)
    if condition.op == "const":
        return yes if condition.arg else other
    if yes is other:
        return yes
    if yes.dtype is not other.dtype:
        raise TypeError(f"where of {yes.dtype} and {other.dtype}")
    return make("where", (condition, yes, other), None, yes.dtype)


def exp(e: Expr) -> Expr:
    """e to the power x."""
    return unary("exp", e)


def sqrt(e: Expr) -> Expr:
    """The square root."""
    return unary("sqrt", e)


def rebuild(e: Expr, args: tuple[Expr, ...]) -> Expr:
    """`e` with other operands, simplified again."""
    if args == e.args:
        return e
    if e.op == "where":
        return where(args[0], args[1], args[2])
    if e.op == "cast":
        return cast(args[0], e.dtype)
    row = OPERATIONS.get(e.op)
    if row is not None and row.arity == 2:
        return fold(e.op, args)
    if row is not None and row.arity == 1 and row.result != "given":
        return unary(e.op, args[0])
    return make(e.op, args, e.arg, e.dtype)


def fold(op: str, args: tuple[Expr, ...]) -> Expr:
    """A binary operation over two or more operands, from the left."""
    out = args[0]
    for a in args[1:]:
        out = binary(op, out, a)
    return out


_LONGEST = 800


def show(e: Expr) -> str:
    """An expression for people; what would be long is cut short with dots."""
    return _show(e, [_LONGEST])


def _show(e: Expr, left: list[int]) -> str:
    left[0] -= 4
    if left[0] < 0:
        return "..."
    if e.op == "reduce":
        v, value = e.args
        extent = _show(v.args[0], left)
        return f"{e.arg}({_show(value, left)} for {name_of(v)} < {extent})"
    args = [_show(a, left) for a in e.args] if e.op != "var" else []
    return f"{e.arg}[{', '.join(args)}]" if e.op == "load" else written(e, args, name_of)


def written(e: Expr, args: Sequence[str], name: Callable[[Expr], str]) -> str:
    """An expression as text, given the texts of its operands and how variables are named.

    `core.read` has the grammar. A load is of a numbered buffer.
    """
    if e.op == "const":
        return _literal(e)
    if e.op == "var":
        return name(e)
    listed = ", ".join(args)
    if e.op == "load":
        return f"b{e.arg}[{listed}]"
    row = OPERATIONS.get(e.op)
    if row is not None and row.sign is not None:
        return f"({f' {row.sign} '.join(args)})"
    if e.op == "cast":
        return f"{e.dtype}({listed})"
    given = row is not None and row.result == "given"
    return f"{e.op}.{e.dtype}({listed})" if given else f"{e.op}({listed})"


def _literal(e: Expr) -> str:
    if e.dtype.is_bool:
        return "true" if e.arg else "false"
    number = float.__repr__(e.arg) if isinstance(e.arg, float) else str(e.arg)
    return number if e.dtype is INDEX else f"{number}:{e.dtype}"


_INDEX_RULES: dict[str, Callable[[Expr, Expr], Expr]] = {}


Rule = Callable[[Expr, Expr], Expr]


def index_rule(op: str) -> Callable[[Rule], Rule]:
    """Registers the simplifying constructor of an int64 operation."""

    def register(rule: Rule) -> Rule:
        _INDEX_RULES[op] = rule
        return rule

    return register
