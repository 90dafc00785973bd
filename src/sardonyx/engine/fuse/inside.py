"""What a node's native code takes for granted of its operands' sizes, for binding to check.

Operators say which elements they read, not that there are so many. Every subscript of every
operand is proved to be inside, or becomes a `Promise` in the model's symbols that each feed must
keep, or, where it comes from data and is not clamped, is the reason why the node runs in numpy.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sardonyx.core.errors import ShapeMismatch
from sardonyx.core.expr import Expr, evaluate, fresh, scalar, show
from sardonyx.engine.fuse.probe import Leaf, element_of, types_of
from sardonyx.graph.ir import Node
from sardonyx.graph.op import Op, SumOfProducts, loop_index
from sardonyx.graph.type import Type
from sardonyx.loops.bounds import Access, accesses, loads, outside, proof
from sardonyx.loops.ir import Kernel

Types = tuple[Type | None, ...]


@dataclass(frozen=True)
class Promise:
    """That operand number `operand` of `node` has what is read of it along `axis` (None: at all).

    It holds where all of `enough` are >= 0 (where there are any), and else where no subscript of
    the access is outside.
    """

    node: Node
    operand: int
    axis: int | None
    access: Access
    enough: tuple[Expr, ...]

    def check(self, dims: Mapping[Expr, int]) -> None:
        """ShapeMismatch (E0234) where it is broken for these sizes, or cannot be told."""
        if self.enough and all(evaluate(e, dims) >= 0 for e in self.enough):
            return
        try:
            bad = outside(self.access, dims)
        except OverflowError as reason:
            raise self._broken(f"cannot be shown to be long enough: {reason}", dims) from None
        if bad is not None:
            has = evaluate(self.access.extent, dims)
            what = "elements" if self.axis is None else f"in dim {self.axis}"
            raise self._broken(f"has {has} {what}, and element {bad} is wanted", dims)

    @property
    def dims(self) -> frozenset[Expr]:
        """The symbols that must be known to check it."""
        return self.access.dims.union(*(e.free for e in self.enough))

    @property
    def _name(self) -> str:
        values = self.node.inputs if self.operand >= 0 else self.node.outputs
        at = self.operand if self.operand >= 0 else ~self.operand
        value = values[at] if at < len(values) else None
        return value.name if value is not None else "its scratch"

    def _broken(self, what: str, dims: Mapping[Expr, int]) -> ShapeMismatch:
        name = self._name
        sizes = ", ".join(f"{show(s)} = {dims[s]}" for s in sorted(self.access.dims, key=show))
        return ShapeMismatch(
            "E0234",
            f"`{name}` {what}",
            node=self.node.name,
            op=self.node.op.op_type,
            tensor=name,
            given=sizes or None,
            hint="the sizes of this operator's inputs do not fit together",
        )


def promises(node: Node) -> list[Promise] | str:
    """What the native code of a node relies on; the reason where nothing could be relied on."""
    inputs, outs = tuple(types_of(node.inputs)), tuple(v and v.type for v in node.outputs)
    found = _found(node.op, outs, inputs)
    if isinstance(found, str):
        return found
    return [Promise(node, operand, axis, access, enough) for operand, axis, access, enough in found]


Found = tuple[int, int | None, Access, tuple[Expr, ...]]


@functools.lru_cache(4096)
def _found(op: Op, outs: Types, inputs: Types) -> tuple[Found, ...] | str:
    found: dict[Found, None] = {}
    for operand, axis, access in _reads(op, outs, inputs):
        enough = proof(access)
        if enough == ():
            continue
        if enough is None and access.is_of_data:
            return f"where it reads operand {operand} depends on data that nothing bounds"
        found[operand, axis, access, enough or ()] = None
    return tuple(found)


def _reads(op: Op, outs: Types, inputs: Types) -> Iterator[tuple[int, int | None, Access]]:
    """Operand (outputs counting from -1 down), axis and subscript of all that native code touches.

    An element of an output is stored at the place that a loop over its shape gives.
    """
    leaves = [None if t is None else Leaf(f"x{n}", t) for n, t in enumerate(inputs)]
    made = [t for t in outs if t is not None]
    if op.has("contract") and len(made) == 1:
        contraction = op.contract(made[0], *leaves)
        if contraction is not None:
            return _of_contraction(contraction, made[0], inputs)
    if op.has("build") and len(made) == len(outs):
        kernel = op.build(tuple(made), *inputs)
        if kernel is not None:
            return _of_kernel(kernel, len(made), inputs)
    return _of_elements(op, outs, inputs)


def _of_contraction(
    c: SumOfProducts, out: Type, inputs: Types
) -> Iterator[tuple[int, int | None, Access]]:
    batch, m, n, k = (tuple(map(fresh, extents)) for extents in (c.batch, c.m, c.n, c.k))
    place = loop_index(out.dims)
    finished = c.finish(scalar("acc", c.acc), place)
    yield from _elements(c.left(batch, m, k), (*batch, *m, *k), inputs)
    yield from _elements(c.right(batch, k, n), (*batch, *k, *n), inputs)
    yield from _elements(finished, tuple(place), inputs)
    for axis, (at, dim) in enumerate(zip(c.place(batch, m, n), out.dims, strict=True)):
        yield -1, axis, Access(at, dim, (*batch, *m, *n))


def _of_kernel(
    kernel: Kernel, outs: int, inputs: Types
) -> Iterator[tuple[int, int | None, Access]]:
    operands = [~n for n in range(outs)] + [n for n, t in enumerate(inputs) if t is not None]
    for buffer, access in accesses(kernel):
        yield operands[buffer] if buffer < len(operands) else ~outs, None, access


def _of_elements(op: Op, outs: Types, inputs: Types) -> Iterator[tuple[int, int | None, Access]]:
    for which, out in enumerate(outs):
        if out is not None:
            place, element = element_of(op, which, out, inputs)
            yield from _elements(element, tuple(place), inputs)


def _elements(
    element: Expr, loops: tuple[Expr, ...], inputs: Types
) -> Iterator[tuple[int, int | None, Access]]:
    variables = tuple(v for v in loops if not v.is_const)
    for x, inside, guards in loads(element, variables):
        operand = int(x.arg[1:])
        kind = inputs[operand]
        assert kind is not None
        for axis, (at, dim) in enumerate(zip(x.args, kind.dims, strict=True)):
            yield operand, axis, Access(at, dim, inside, guards)
