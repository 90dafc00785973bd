"""Control flow: If, Loop, Scan and SequenceMap run subgraphs through `call(graph, arrays)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import number
from sardonyx.graph.ir import Graph, Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.shapes import axis_of, refuse, unknown_dim

Call: TypeAlias = Callable[[Graph, Sequence[Any]], list[Any]]


def joined(a: Type, b: Type) -> Type:
    """What is known of a value that is either of two."""
    if a.kind != b.kind:
        return replace(a, value=None)
    if a.kind != "tensor":
        elem = joined(a.elem, b.elem) if a.elem and b.elem else a.elem or b.elem
        return replace(a, elem=elem)
    dtype = a.dtype or b.dtype
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return Type(dtype)
    dims = [x if x is y else unknown_dim("either") for x, y in zip(a.shape, b.shape, strict=True)]
    value = a.value if a.value == b.value else None
    return Type(dtype, tuple(dims), value)


@dataclass(frozen=True, kw_only=True)
class If(Op):
    """The outputs of `then_branch` where the condition holds, else those of `else_branch`."""

    since = 1
    tolerance = "exact"
    then_branch: Graph
    else_branch: Graph

    def infer(self, cond: Type) -> Any:
        yes, no = self.then_branch.outputs, self.else_branch.outputs
        if len(yes) != len(no):
            raise refuse("E0343", "the branches' outputs differ in number", len(yes), len(no))
        if cond.value is not None and len(cond.value) == 1 and cond.value[0].is_const:
            return tuple(v.type for v in (yes if cond.value[0].arg else no))
        return tuple(joined(a.type, b.type) for a, b in zip(yes, no, strict=True))

    def control(self, call: Call, cond: Array) -> Any:
        if cond.size != 1:
            raise RuntimeException("E0404", "a condition must be one element", given=cond.shape)
        return tuple(call(self.then_branch if cond.reshape(())[()] else self.else_branch, []))


@dataclass(frozen=True, kw_only=True)
class Loop(Op):
    """Runs `body` at most M times and while its condition holds; carries values, stacks others."""

    since = 1
    tolerance = "exact"
    body: Graph

    def infer(self, trips: Type | None, cond: Type | None, *initial: Type) -> Any:
        del trips, cond
        made = [v.type for v in self.body.outputs[1:]]
        if len(self.body.inputs) != 2 + len(initial) or len(made) < len(initial):
            given = f"{len(self.body.inputs)} inputs, {len(made) + 1} outputs"
            wanted = f"{2 + len(initial)} inputs, {1 + len(initial)} outputs or more"
            raise refuse("E0343", "a Loop's body does not fit its inputs", given, wanted)
        carried = [joined(a, b) for a, b in zip(initial, made, strict=False)]
        stacked = [_stacked(t, 0) for t in made[len(initial) :]]
        return tuple(replace(t, value=None) for t in (*carried, *stacked))

    def control(self, call: Call, trips: Array | None, cond: Array | None, *initial: Any) -> Any:
        most = None if trips is None else int(trips.reshape(()))
        going = cond is None or bool(cond.reshape(()))
        state, rows, trip = list(initial), list[list[Any]](), 0
        while going and (most is None or trip < most):
            made = call(self.body, [np.array(trip, np.int64), np.array(going), *state])
            going = bool(made[0].reshape(()))
            state, new = made[1 : 1 + len(state)], made[1 + len(state) :]
            rows.append(new)
            trip += 1
        outs = self.body.outputs[1 + len(state) :]
        stacked = [_stack([r[n] for r in rows], v.type, 0) for n, v in enumerate(outs)]
        return (*state, *stacked)


def _stacked(t: Type, axis: int, trips: Any = None) -> Type:
    """The type of values stacked along a new axis."""
    if t.shape is None:
        return Type(t.dtype)
    at = axis_of(axis, len(t.shape) + 1)
    many = trips if trips is not None else unknown_dim("trips")
    return Type(t.dtype, (*t.shape[:at], many, *t.shape[at:]))


def _stack(rows: Sequence[Array], t: Type, axis: int) -> Array:
    """Values stacked along a new axis; of none, an empty tensor of the type's other dims."""
    if rows:
        return np.stack(rows, axis)
    dims = [number(d) or 0 for d in t.shape or ()]
    dims.insert(axis_of(axis, len(dims) + 1), 0)
    return np.zeros(dims, (t.dtype or DType.FLOAT32).numpy)


@dataclass(frozen=True, kw_only=True)
class Scan(Op):
    """Runs `body` for every slice of the scan inputs; carries states, stacks the other outputs."""

    since = 9
    tolerance = "exact"
    body: Graph
    num_scan_inputs: int
    scan_input_axes: tuple[int, ...] | None = None
    scan_input_directions: tuple[int, ...] | None = None
    scan_output_axes: tuple[int, ...] | None = None
    scan_output_directions: tuple[int, ...] | None = None

    def infer(self, *inputs: Type) -> Any:
        states = len(inputs) - self.num_scan_inputs
        if states < 0 or self.num_scan_inputs < 1:
            given = self.num_scan_inputs
            raise refuse("E0341", "`num_scan_inputs` does not fit", given, f"1 to {len(inputs)}")
        made = [v.type for v in self.body.outputs]
        carried = [joined(a, b) for a, b in zip(inputs[:states], made, strict=False)]
        first, axis = inputs[states], _nth(self.scan_input_axes, 0)
        trips = None
        if first.shape is not None:
            trips = first.shape[axis_of(axis, len(first.shape))]
        stacked = [
            _stacked(t, _nth(self.scan_output_axes, n), trips) for n, t in enumerate(made[states:])
        ]
        return tuple(replace(t, value=None) for t in (*carried, *stacked))

    def control(self, call: Call, *inputs: Any) -> Any:
        states = len(inputs) - self.num_scan_inputs
        state, scanned = list(inputs[:states]), []
        for n, a in enumerate(inputs[states:]):
            moved = np.moveaxis(a, axis_of(_nth(self.scan_input_axes, n), a.ndim), 0)
            scanned.append(moved[::-1] if _nth(self.scan_input_directions, n) else moved)
        lengths = {len(a) for a in scanned}
        if len(lengths) != 1:
            raise RuntimeException("E0404", "scan inputs differ in length", given=sorted(lengths))
        rows: list[list[Any]] = []
        for trip in range(lengths.pop()):
            made = call(self.body, [*state, *(a[trip] for a in scanned)])
            state = made[:states]
            rows.append(made[states:])
        outs = []
        for n, v in enumerate(self.body.outputs[states:]):
            column = [r[n] for r in rows]
            backwards = _nth(self.scan_output_directions, n)
            column = column[::-1] if backwards else column
            outs.append(_stack(column, v.type, _nth(self.scan_output_axes, n)))
        return (*state, *outs)


def _nth(values: tuple[int, ...] | None, n: int) -> int:
    return values[n] if values and n < len(values) else 0


@dataclass(frozen=True, kw_only=True)
class ScanV8(Op):
    """Scan of opset 8: every tensor has a batch axis first, and sequences have lengths."""

    tolerance = "exact"
    body: Graph
    num_scan_inputs: int
    directions: tuple[int, ...] | None = None

    def infer(self, lengths: Type | None, *inputs: Type) -> Any:
        del lengths
        states = len(inputs) - self.num_scan_inputs
        made = [v.type for v in self.body.outputs]
        first = inputs[states].shape if 0 <= states < len(inputs) else None
        batch = first[0] if first else unknown_dim("batch")
        trips = first[1] if first and len(first) > 1 else unknown_dim("trips")
        carried = [replace(t, value=None) for t in inputs[:states]]
        return (*carried, *(_stacked(_stacked(t, 0, trips), 0, batch) for t in made[states:]))

    def control(self, call: Call, lengths: Array | None, *inputs: Any) -> Any:
        states = len(inputs) - self.num_scan_inputs
        inner = Scan(
            body=self.body,
            num_scan_inputs=self.num_scan_inputs,
            scan_input_directions=self.directions,
        )
        longest = inputs[states].shape[1]
        batches = []
        for b in range(len(inputs[states])):
            length = longest if lengths is None else int(lengths[b])
            parts = [a[b] for a in inputs[:states]]
            parts += [a[b, :length] for a in inputs[states:]]
            batches.append(inner.control(call, *parts))
        outs = []
        for n, column in enumerate(zip(*batches, strict=True)):
            rows = [_padded(a, longest) for a in column] if n >= states else column
            outs.append(np.stack(rows))
        return tuple(outs)


def _padded(a: Array, length: int) -> Array:
    pads = [(0, length - len(a)), *[(0, 0)] * (a.ndim - 1)]
    return np.pad(a, pads)


@dataclass(frozen=True, kw_only=True)
class SequenceMap(Op):
    """The sequences of what `body` gives for every element of the input sequences."""

    since = 17
    tolerance = "exact"
    body: Graph

    def infer(self, sequence: Type, *extras: Type) -> Any:
        del sequence, extras
        return tuple(Type(kind="sequence", elem=v.type) for v in self.body.outputs)

    def control(self, call: Call, sequence: list[Any], *extras: Any) -> Any:
        outs: list[list[Any]] = [[] for _ in self.body.outputs]
        for n, item in enumerate(sequence):
            own = [e[n] if isinstance(e, list) else e for e in extras]
            for column, made in zip(outs, call(self.body, [item, *own]), strict=True):
                column.append(made)
        return tuple(outs)
