"""Einsum: sums of products named by letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, cast, const, minimum, number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts, SumOfProducts
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.nest import total
from sardonyx.ops.base.shapes import broadcast_dim, common_dtype, refuse, same_dim
from sardonyx.ops.product.matmul import accumulator

_MOST = 52


@dataclass(frozen=True)
class _Terms:
    """An equation with the ellipsis spelt out as labels "0", "1", ... from the right."""

    inputs: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]

    @classmethod
    def parse(cls, equation: str, ranks: Sequence[int]) -> _Terms:
        """E0341 where the equation does not fit operands of these ranks."""
        text = equation.replace(" ", "")
        left, arrow, right = text.partition("->")
        parts = left.split(",")
        if len(parts) != len(ranks):
            raise refuse("E0341", "`equation` has another number of terms", equation, len(ranks))
        inputs = tuple(_labels(p, r, equation) for p, r in zip(parts, ranks, strict=True))
        wide = sorted({x for t in inputs for x in t if x.isdigit()}, key=int, reverse=True)
        if arrow:
            output = _labels(right, right.replace("...", "").__len__() + len(wide), equation)
            output = tuple(output) if "..." in right else tuple(right)
        else:
            letters = [x for t in inputs for x in t if not x.isdigit()]
            output = (*wide, *sorted(x for x in set(letters) if letters.count(x) == 1))
        known = {x for t in inputs for x in t}
        if not set(output) <= known or len(set(output)) != len(output):
            raise refuse("E0341", "the output of `equation` is wrong", equation)
        return cls(inputs, output)

    @property
    def summed(self) -> tuple[str, ...]:
        """The labels that the output lacks, in order of appearance."""
        every = dict.fromkeys(x for t in self.inputs for x in t)
        return tuple(x for x in every if x not in self.output)

    def dims(self, shapes: Sequence[Sequence[Expr]]) -> dict[str, Expr]:
        """The extent of every label."""
        found: dict[str, Expr] = {}
        for labels, shape in zip(self.inputs, shapes, strict=True):
            own: dict[str, Expr] = {}
            for x, d in zip(labels, shape, strict=True):
                own[x] = same_dim(own[x], d) if x in own else d
            for x, d in own.items():
                found[x] = broadcast_dim(found[x], d) if x in found else d
        return found


def _labels(term: str, rank: int, equation: str) -> tuple[str, ...]:
    head, dots, tail = term.partition("...")
    if not all(c.isalpha() for c in head + tail):
        raise refuse("E0341", "`equation` is malformed", equation, "letters, `...`, `,`, `->`")
    wide = rank - len(head) - len(tail)
    if wide < 0 or (wide and not dots):
        raise refuse("E0341", "`equation` does not fit an operand's dims", equation, f"{rank} dims")
    return (*head, *(str(n) for n in reversed(range(wide))), *tail)


class Einsum(Op, kw_only=True):
    """The sum over the labels that `equation` does not name after `->` of the inputs' product."""

    since = 12
    tolerance = "reduction"
    equation: str

    def infer(self, *inputs: Type) -> Type:
        dtype = common_dtype(*inputs)
        shapes = [t.shape for t in inputs]
        if any(s is None for s in shapes):
            return Type(dtype)
        known = [s for s in shapes if s is not None]
        terms = _Terms.parse(self.equation, [len(s) for s in known])
        dims = terms.dims(known)
        return Type(dtype, tuple(dims[x] for x in terms.output))

    def reference(self, *inputs: Array) -> Array:
        terms = _Terms.parse(self.equation, [a.ndim for a in inputs])
        labels = {x: n for n, x in enumerate(dict.fromkeys(x for t in terms.inputs for x in t))}
        if len(labels) > _MOST:
            raise refuse("E0341", "`equation` has too many labels", len(labels), _MOST)
        args: list[object] = []
        for a, t in zip(inputs, terms.inputs, strict=True):
            args += [widen(a), [labels[x] for x in t]]
        out = [labels[x] for x in terms.output]
        made = np.einsum(*args, out, optimize=len(inputs) > 1)  # type: ignore[call-overload]
        return settle(made, inputs[0].dtype)

    def at(self, idx: Index, *inputs: Operand) -> Expr:
        terms = _Terms.parse(self.equation, [x.rank for x in inputs])
        dims = terms.dims([x.shape for x in inputs])
        fixed = dict(zip(terms.output, idx, strict=True))

        def product(k: Subscripts) -> Expr:
            at = {**fixed, **dict(zip(terms.summed, k, strict=True))}
            factors = [_read(x, t, at, dims) for x, t in zip(inputs, terms.inputs, strict=True)]
            out = factors[0]
            for f in factors[1:]:
                out = out * f
            return out

        found = total("add", [dims[x] for x in terms.summed], product)
        return cast(found, inputs[0].dtype)

    def contract(self, out: Type, *inputs: Operand) -> SumOfProducts | None:
        del out
        terms = _Terms.parse(self.equation, [x.rank for x in inputs])
        if len(inputs) != 2 or any(len(set(t)) != len(t) for t in terms.inputs):
            return None
        a, b = (set(t) for t in terms.inputs)
        batch = [x for x in terms.output if x in a and x in b]
        rows = [x for x in terms.output if x in a and x not in b]
        columns = [x for x in terms.output if x in b and x not in a]
        k = [x for x in terms.inputs[0] if x in terms.summed]
        if not k or set(terms.summed) - (a & b):
            return None
        dims = terms.dims([x.shape for x in inputs])

        def left(at: Subscripts, m: Subscripts, d: Subscripts) -> Expr:
            return _read(inputs[0], terms.inputs[0], _named((batch, at), (rows, m), (k, d)), dims)

        def right(at: Subscripts, d: Subscripts, n: Subscripts) -> Expr:
            own = _named((batch, at), (columns, n), (k, d))
            return _read(inputs[1], terms.inputs[1], own, dims)

        def place(at: Subscripts, m: Subscripts, n: Subscripts) -> Subscripts:
            found = _named((batch, at), (rows, m), (columns, n))
            return tuple(found[x] for x in terms.output)

        dtype = inputs[0].dtype
        b_, m_, n_, k_ = (tuple(dims[x] for x in p) for p in (batch, rows, columns, k))
        return SumOfProducts(
            batch=b_,
            m=m_,
            n=n_,
            k=k_,
            left=left,
            right=right,
            place=place,
            finish=lambda acc, _: cast(acc, dtype),
            acc=accumulator(dtype),
        )


def _named(*pairs: tuple[Sequence[str], Subscripts]) -> dict[str, Expr]:
    return {x: i for labels, at in pairs for x, i in zip(labels, at, strict=True)}


def _read(x: Operand, labels: Sequence[str], at: dict[str, Expr], dims: dict[str, Expr]) -> Expr:
    found = []
    for label, d in zip(labels, x.shape, strict=True):
        i = at[label]
        if d is not dims[label]:
            i = const(0) if number(d) == 1 else i * minimum(d - 1, 1)
        found.append(i)
    return lift(x[found])
