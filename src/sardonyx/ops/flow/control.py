"""Control flow: If, Loop, Scan and SequenceMap run subgraphs through `call(graph, arrays)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import Expr, evaluate, number
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Type, Value, tensor_type
from sardonyx.graph.op import Bodies, Op
from sardonyx.ops.base.given import single, whole, wholes
from sardonyx.ops.base.shapes import axis_of, check_lengths, refuse, unknown_dim

Call: TypeAlias = Callable[[Graph, Sequence[Any]], list[Any]]

# Rounds after which a Loop's types are loosened instead of joined: dims that grow never settle.
_ROUNDS = 4
# Trips that are run one by one rather than prepared for.
_FEW = 3


def joined(a: Type, b: Type) -> Type:
    """What is known of a value that is either of two; E0323 where these differ in type."""
    same_type(a, b, "a value of one of two origins has two types")
    if a.kind != b.kind:
        return replace(a if a.kind == "optional" else b, value=None)
    if a.kind != "tensor":
        elem = joined(a.elem, b.elem) if a.elem and b.elem else a.elem or b.elem
        return replace(a, elem=elem)
    dtype = a.dtype or b.dtype
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return Type(dtype)
    dims = [x if x is y else unknown_dim("either") for x, y in zip(a.shape, b.shape, strict=True)]
    value = a.value if a.value == b.value else None
    return Type(dtype, tuple(dims), value)


def same_type(a: Type, b: Type, said: str, code: str = "E0323") -> None:
    """Refuses two types of one value that differ in more than dims; an optional may be given."""
    if a.kind != b.kind:
        a, b = (t.elem or Type() if t.kind == "optional" else t for t in (a, b))
    known = Type() not in (a, b)
    if known and (a.kind != b.kind or (a.dtype is not b.dtype and None not in (a.dtype, b.dtype))):
        raise refuse(code, said, b, a)
    if a.elem is not None and b.elem is not None:
        same_type(a.elem, b.elem, said, code)


def repeat(
    walk: Bodies,
    body: Graph,
    types: list[Type],
    first: int,
    made: int,
    *,
    count: int | None = None,
    doubtful: bool = False,
) -> None:
    """Infers a body whose outputs from `made` on come back as its inputs from `first` on.

    `types` are those of its inputs on the first trip; `count` of them come back, by default all
    from `first` on. Dims that change from trip to trip become unknown: first as fresh symbols, by
    rank where that does not settle. A doubtful body may have no trip at all.
    """
    count = len(types) - first if count is None else count
    declared = {v: v.type for inner in bodies(body) for v in inner.values()}
    for attempt in range(_ROUNDS + 1):
        for v, t in declared.items():
            v.type = t
        for v, t in zip(body.inputs, types, strict=False):
            same_type(t, v.type, f"the body's input `{v.name}` is declared {v.type}", "E0332")
            v.type = t if t.kind != "tensor" or t.shape is not None else v.type
        (walk.doubtful if doubtful else walk.graph)(body)
        loose = attempt >= _ROUNDS - 1 or walk.hurries
        before = types[first : first + count]
        after = [v.type for v in body.outputs[made : made + count]]
        both = [_on_any_trip(a, b, loose) for a, b in zip(before, after, strict=False)]
        types[first : first + len(both)] = both
        if both == before[: len(both)]:
            return


def _known_to_go(t: Type) -> bool:
    """Whether a Loop's number of trips, or its condition, lets it run once for sure."""
    first = t.value[0] if t.value else None
    return first is not None and first.is_const and first.arg > 0


def _unvalued(t: Type | None) -> Type:
    return Type() if t is None else replace(t, value=None)


def _on_any_trip(a: Type, b: Type, loose: bool) -> Type:
    """A type that both `a` (which came before) and `b` are; E0323 where these differ in type."""
    same_type(a, b, "a state changes its type from one trip to the next")
    if a.kind != "tensor" or b.kind != "tensor" or a.shape is None:
        return a
    if b.shape is None or len(a.shape) != len(b.shape):
        return replace(a, shape=None)
    if loose and a.shape != b.shape:
        return replace(a, shape=None)
    dims = tuple(
        x if x is y or _is_free(x) else unknown_dim("trip")
        for x, y in zip(a.shape, b.shape, strict=True)
    )
    return replace(a, shape=dims)


def _is_free(d: Expr) -> bool:
    return d.op == "var" and str(d.arg[0]).startswith("_trip_")


_TRIPS, _CONDITION = "the number of trips", "a condition"


class If(Op, kw_only=True):
    """The outputs of `then_branch` where the condition holds, else those of `else_branch`."""

    since = 1
    tolerance = "exact"
    then_branch: Graph
    else_branch: Graph

    def enter(self, walk: Bodies, *inputs: Type | None) -> None:
        del inputs
        walk.doubtful(self.then_branch)
        walk.doubtful(self.else_branch)

    def signature(self, inputs: int, outputs: int) -> Iterable[str]:
        del inputs
        for body in (self.then_branch, self.else_branch):
            if body.inputs:
                yield "a branch of If has inputs"
            if len(body.outputs) != outputs:
                yield f"a branch has {len(body.outputs)} outputs, If {outputs}"

    def carried(self, inputs: int) -> int | None:
        del inputs
        return None

    def infer(self, cond: Type) -> Any:
        yes, no = self.then_branch.outputs, self.else_branch.outputs
        if len(yes) != len(no):
            raise refuse("E0343", "the branches' outputs differ in number", len(yes), len(no))
        if cond.value is not None and len(cond.value) == 1 and cond.value[0].is_const:
            return tuple(v.type for v in (yes if cond.value[0].arg else no))
        return tuple(joined(a.type, b.type) for a, b in zip(yes, no, strict=True))

    def control(self, call: Call, cond: Array) -> Any:
        return tuple(call(self.then_branch if single(cond, _CONDITION) else self.else_branch, []))


class Loop(Op, kw_only=True):
    """Runs `body` at most M times and while its condition holds; carries values, stacks others."""

    since = 1
    tolerance = "exact"
    body: Graph

    def enter(self, walk: Bodies, *inputs: Type | None) -> None:
        head = [tensor_type(DType.INT64, ()), tensor_type(DType.BOOL, ())]
        states = [_unvalued(t) for t in inputs[2:]]
        never = any(t is not None and not _known_to_go(t) for t in inputs[:2])
        repeat(walk, self.body, [*head, *states], first=2, made=1, doubtful=never)
        for v in self.body.outputs[:1]:
            same_type(Type(DType.BOOL), v.type, "the body's condition is no bool")

    def carried(self, inputs: int) -> int | None:
        return inputs - 1

    def trips(self, *inputs: Any) -> int | None:
        most = inputs[0]
        return whole(most, _TRIPS) if most is not None and self._never_stops() else None

    def _never_stops(self) -> bool:
        """Whether the condition goes round as it came, or is always true."""
        v: Value | None = self.body.outputs[0]
        while v is not None and v.producer is not None and v.made_by("Identity"):
            v = v.producer.inputs[0]
        if v is None or len(self.body.inputs) < 2 or v is self.body.inputs[1]:
            return v is not None
        known = v.const if v.producer is None else getattr(v.producer.op, "value", None)
        return known is not None and bool(np.all(known.numpy()))

    def signature(self, inputs: int, outputs: int) -> Iterable[str]:
        given, made = len(self.body.inputs), len(self.body.outputs)
        states = inputs - 2
        if given != max(states, 0) + 2:
            yield f"the body has {given} inputs, wanted {states + 2}"
        if made < states + 1:
            yield f"the body has {made} outputs, wanted {states + 1} at least"
        if outputs > made - 1:
            yield f"the node has {outputs} outputs, the body gives fewer"

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
        most = None if trips is None else whole(trips, _TRIPS)
        going = cond is None or bool(single(cond, _CONDITION))
        state, rows, trip = list(initial), list[list[Any]](), 0
        rest: tuple[list[Any], list[Array]] | None = None
        while going and (most is None or trip < most):
            made = call(self.body, [np.array(trip, np.int64), np.array(going), *state])
            going = bool(single(made[0], _CONDITION))
            state, new = made[1 : 1 + len(state)], made[1 + len(state) :]
            rows.append(new)
            trip += 1
            if trip == 1 and going and most is not None and most > _FEW and self._never_stops():
                numbers = np.arange(trip, most)
                first = [np.array(trip), np.array(going), *state]
                states = range(1, 1 + len(state))
                rest = _many(call, self.body, most - 1, first, {0: numbers}, states, 2)
                if rest is not None:
                    state = rest[0]
                    break
        outs = self.body.outputs[1 + len(state) :]
        sizes = _sizes(self.body.inputs[2:], initial)
        columns = _columns(rows, rest, len(outs))
        stacked = [_stack(columns[n], v.type, 0, sizes) for n, v in enumerate(outs)]
        return (*state, *stacked)


def _stacked(t: Type, axis: int, trips: Any = None) -> Type:
    """The type of values stacked along a new axis."""
    if t.shape is None:
        return Type(t.dtype)
    at = axis_of(axis, len(t.shape) + 1)
    many = trips if trips is not None else unknown_dim("trips")
    return Type(t.dtype, (*t.shape[:at], many, *t.shape[at:]))


def _sizes(values: Sequence[Value], given: Sequence[Any]) -> dict[Expr, int]:
    """The sizes of the symbols that are dims of a body's inputs, from what is given to it."""
    pairs = zip(values, given, strict=False)
    both = (zip(v.type.shape or (), getattr(a, "shape", ()), strict=False) for v, a in pairs)
    return {d: size for dims in both for d, size in dims if d.op == "var"}


def _stack(rows: Sequence[Array] | Array, t: Type, axis: int, sizes: Mapping[Expr, int]) -> Array:
    """Values stacked along a new axis; of none, an empty tensor of the type's other dims."""
    if isinstance(rows, np.ndarray):
        return np.moveaxis(rows, 0, axis_of(axis, rows.ndim))
    if rows:
        shapes = {a.shape for a in rows}
        if len(shapes) > 1:
            raise RuntimeException("E0404", "trips make values of other shapes", given=shapes)
        return np.stack(rows, axis)
    dims = [evaluate(d, sizes) if d.free <= sizes.keys() else 0 for d in t.shape or ()]
    dims.insert(axis_of(axis, len(dims) + 1), 0)
    return np.zeros(dims, (t.dtype or DType.FLOAT32).numpy)


class _Scanning(Op, abstract=True, kw_only=True):
    tolerance = "exact"
    body: Graph
    num_scan_inputs: int

    def carried(self, inputs: int) -> int | None:
        return inputs - self.num_scan_inputs

    def signature(self, inputs: int, outputs: int) -> Iterable[str]:
        del outputs
        given, scanned = len(self.body.inputs), self.num_scan_inputs
        if given not in (inputs, inputs - 1):
            yield f"the body has {given} inputs, Scan {inputs}"
        if not 0 < scanned <= inputs:
            yield f"num_scan_inputs is {scanned} of {inputs} inputs"


class Scan(_Scanning, kw_only=True):
    """Runs `body` for every slice of the scan inputs; carries states, stacks the other outputs."""

    since = 9
    scan_input_axes: tuple[int, ...] | None = None
    scan_input_directions: tuple[int, ...] | None = None
    scan_output_axes: tuple[int, ...] | None = None
    scan_output_directions: tuple[int, ...] | None = None

    def enter(self, walk: Bodies, *inputs: Type | None) -> None:
        types = [_unvalued(t) for t in inputs]
        states, never = len(types) - self.num_scan_inputs, False
        for n, t in enumerate(types[states:]):
            if t.shape:
                axis = axis_of(_nth(self.scan_input_axes, n), len(t.shape))
                types[states + n] = t.with_shape((*t.shape[:axis], *t.shape[axis + 1 :]))
                never = never or number(t.shape[axis]) == 0
        repeat(walk, self.body, types, first=0, made=0, count=states, doubtful=never)

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
            moved = np.ascontiguousarray(moved)
            scanned.append(moved[::-1] if _nth(self.scan_input_directions, n) else moved)
        lengths = {len(a) for a in scanned}
        if len(lengths) != 1:
            raise RuntimeException("E0404", "scan inputs differ in length", given=sorted(lengths))
        rows: list[list[Any]] = []
        trips, rest = lengths.pop(), None
        for trip in range(trips):
            made = call(self.body, [*state, *(a[trip] for a in scanned)])
            state = made[:states]
            rows.append(made[states:])
            if trip == 0 and trips > _FEW:
                following = [a[1:] for a in scanned]
                moving = {states + n: a for n, a in enumerate(following)}
                first = [*state, *(a[0] for a in following)]
                rest = _many(call, self.body, trips - 1, first, moving, range(states))
            if rest is not None:
                state = rest[0]
                break
        slices = (np.broadcast_to(0, a.shape[1:]) for a in scanned)
        sizes = _sizes(self.body.inputs, [*inputs[:states], *slices])
        outs, columns = [], _columns(rows, rest, len(self.body.outputs) - states)
        for n, v in enumerate(self.body.outputs[states:]):
            column = columns[n]
            backwards = _nth(self.scan_output_directions, n)
            column = column[::-1] if backwards else column
            outs.append(_stack(column, v.type, _nth(self.scan_output_axes, n), sizes))
        return (*state, *outs)


def _columns(
    rows: Sequence[Sequence[Any]], rest: tuple[list[Any], list[Array]] | None, count: int
) -> list[Any]:
    """What the trips gave by outputs: lists, or the first trip's and the rest's as arrays."""
    if rest is None:
        return [[r[n] for r in rows] for n in range(count)]
    return [np.concatenate((rows[0][n][None], rest[1][n])) for n in range(count)]


def _many(
    call: Call, body: Graph, trips: int, inputs: list[Any], moving: Mapping[int, Array],
    states: range, first: int = 0,
) -> tuple[list[Any], list[Array]] | None:  # fmt: skip
    """Trips at once, where `call` can; outputs `states` become the inputs from `first` on."""
    many = getattr(call, "many", None)
    stacked = range(states.stop, len(body.outputs))
    carried = dict(zip(states, range(first, first + len(states)), strict=True))
    return None if many is None else many(body, trips, inputs, moving, carried, stacked)


def _nth(values: tuple[int, ...] | None, n: int) -> int:
    return values[n] if values and n < len(values) else 0


class ScanV8(_Scanning, kw_only=True):
    """Scan of opset 8: every tensor has a batch axis first, and sequences have lengths."""

    redefined = (9,)
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
        given = [a.shape[:2] for a in inputs[states:]]
        if min(map(len, given)) < 2 or not all(a.ndim for a in inputs):
            raise RuntimeException("E0404", "scan inputs have a batch and a length", given=given)
        longest = inputs[states].shape[1]
        batch = len(inputs[states])
        if {*given, *((len(a), longest) for a in inputs)} != {(batch, longest)}:
            raise RuntimeException("E0404", "scan inputs differ in length", given=given)
        if lengths is not None:
            check_lengths(np.array(wholes(lengths, batch, "the lengths")), longest)
        batches = []
        for b in range(batch):
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


class SequenceMap(Op, kw_only=True):
    """The sequences of what `body` gives for every element of the input sequences."""

    since = 17
    tolerance = "exact"
    body: Graph

    def enter(self, walk: Bodies, *inputs: Type | None) -> None:
        for v, t in zip(self.body.inputs, inputs, strict=False):
            each = t.elem if t is not None and t.kind == "sequence" else t
            if each is not None:
                same_type(
                    each, v.type, f"the body's input `{v.name}` is declared {v.type}", "E0332"
                )
                v.type = each
        walk.graph(self.body)

    def infer(self, sequence: Type | None, *extras: Type | None) -> Any:
        if sequence is None or None in extras or len(self.body.inputs) != 1 + len(extras):
            given, wanted = 1 + len(extras), len(self.body.inputs)
            raise refuse("E0343", "a SequenceMap's inputs do not fit its body", given, wanted)
        return tuple(Type(kind="sequence", elem=v.type) for v in self.body.outputs)

    def control(self, call: Call, sequence: list[Any], *extras: Any) -> Any:
        if any(isinstance(e, list) and len(e) != len(sequence) for e in extras):
            raise RuntimeException("E0404", "the sequences differ in length", given=len(sequence))
        outs: list[list[Any]] = [[] for _ in self.body.outputs]
        for n, item in enumerate(sequence):
            own = [e[n] if isinstance(e, list) else e for e in extras]
            for column, made in zip(outs, call(self.body, [item, *own]), strict=True):
                column.append(made)
        return tuple(outs)
