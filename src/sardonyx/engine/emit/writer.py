"""Text of one function: basic blocks, loops and branches in nested scopes.

A scope's lines join its parent's only when the scope ends. What is written to the parent meanwhile
therefore stands before the scope in the finished text: that is how loop-invariant code leaves a
loop.

    with w.loop(n) as trip:              pre:
        x = w.let("add i64 ...")             br label %body
                                         body:
                                             %i = phi i64 [ 0, %pre ], [ %next, %body ]
                                             %t1 = add i64 ...
                                             %next = add nuw nsw i64 %i, 1
                                             %more = icmp slt i64 %next, %n
                                             br i1 %more, label %body, label %done
                                         done:
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sardonyx.core.dtype import DType
from sardonyx.engine.emit.types import register
from sardonyx.loops.math.lower import Template
from sardonyx.loops.target import Target


class Scope:
    """Where lines gather. `label` is the block they end in, None while it is the parent's.

    `guard` says that control may pass the scope by: what may fault or costs much stays inside.
    `writes` are the buffers stored to while the scope runs, None for any. `names` are the keys
    that a subclass forgets when the scope ends.
    """

    __slots__ = ("guard", "label", "level", "lines", "names", "writes")

    def __init__(
        self, level: int, label: str | None, guard: bool, writes: frozenset[int] | None
    ) -> None:
        self.level, self.label, self.guard, self.writes = (level, label, guard, writes)
        self.lines: list[str] = []
        self.names: list[object] = []


class Trip:
    """A loop being written: `index`, the carried `values`, and `results` once it is over."""

    def __init__(self, index: str, values: list[str]) -> None:
        self.index, self.values = index, values
        self.results: list[str] = []
        self.following: list[str] = list(values)
        self.halt = ""

    def next(self, values: Sequence[str]) -> None:
        """Sets what is carried into the next trip."""
        self.following = list(values)


class Writer:
    """Appends instructions to the innermost scope of one function's text."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.declarations: dict[str, None] = {}
        self.forms: dict[tuple[object, ...], Template | None] = {}
        self.entry: list[str] = []
        self.scopes = [Scope(0, "start", True, frozenset())]
        self.cursor = self.scopes[0]
        self._count = 0

    def fresh(self, prefix: str = "t") -> str:
        """A register name used nowhere else."""
        self._count += 1
        return f"%{prefix}{self._count}"

    def label(self, prefix: str = "b") -> str:
        """A block name used nowhere else."""
        return self.fresh(prefix)[1:]

    def line(self, text: str) -> None:
        """Appends one instruction that has no result."""
        self.cursor.lines.append(text)

    def let(self, instruction: str, prefix: str = "t") -> str:
        """Appends an instruction and returns the register it defines."""
        self._count += 1
        name = f"%{prefix}{self._count}"
        self.cursor.lines.append(f"{name} = {instruction}")
        return name

    def declare(self, text: str) -> None:
        """Adds a module-level line once."""
        self.declarations[text] = None

    def type(self, dtype: DType, lanes: int | None = None) -> str:
        """The register type of an element, or of a vector of them."""
        return register(dtype, lanes)

    def call(self, intrinsic: str, result: str, *args: tuple[str, str]) -> str:
        """Calls `@intrinsic` with (type, operand) pairs, declaring it; returns the register."""
        given = ", ".join(f"{kind} {operand}" for kind, operand in args)
        self.declare(f"declare {result} @{intrinsic}({', '.join(kind for kind, _ in args)})")
        if result == "void":
            self.line(f"call void @{intrinsic}({given})")
            return ""
        return self.let(f"call {result} @{intrinsic}({given})")

    def table(self, kind: str, values: str) -> str:
        """The address of a constant array, one for all equal ones of the module."""
        name = f"@table{len(values)}_{zlib.crc32(values.encode()):08x}"
        self.declare(f"{name} = private unnamed_addr constant {kind} [{values}], align 64")
        return name

    def stack(self, bytes_: int, align: int = 64) -> str:
        """The address of that much memory of this call's own."""
        name = self.fresh("mem")
        self.entry.append(f"{name} = alloca [{bytes_} x i8], align {align}")
        return name

    def here(self) -> str:
        """The label of the block being written, starting one where it is not yet known."""
        if self.cursor.label is None:
            self.block(self.label())
        assert self.cursor.label is not None
        return self.cursor.label

    def block(self, label: str, fall: bool = True) -> None:
        """Starts a basic block, falling into it from the one before unless told not to."""
        if fall:
            self.line(f"br label %{label}")
        self.line(f"{label}:")
        self.cursor.label = label

    def forget(self, names: list[object]) -> None:
        """Called with the names of a scope that ends."""

    def written(self, buffers: frozenset[int] | None) -> None:
        """Called when what these buffers hold may change (None: any)."""

    @contextmanager
    def open(
        self, label: str | None, guard: bool = False, writes: frozenset[int] | None = frozenset()
    ) -> Iterator[Scope]:
        """A scope to join later; with a label it starts a block of its own."""
        scope = Scope(len(self.scopes), label, guard, writes)
        if label is not None:
            scope.lines.append(f"{label}:")
        before, self.cursor = self.cursor, scope
        self.scopes.append(scope)
        yield scope
        self.scopes.pop()
        self.cursor = before
        self.forget(scope.names)

    def join(self, scope: Scope) -> None:
        """Appends the lines of a scope that has ended."""
        self.cursor.lines.extend(scope.lines)
        self.cursor.label = scope.label or self.cursor.label

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Definitions and memoised expressions made inside are forgotten at the end."""
        with self.open(None) as inner:
            yield
        self.join(inner)

    @contextmanager
    def branch(
        self,
        condition: str,
        guard: bool = True,
        writes: frozenset[int] | None = None,
        carry: Iterable[tuple[str, str]] = (),
    ) -> Iterator[Trip]:
        """Code that runs only if the i1 operand holds; what is carried is kept if it does not."""
        carried = list(carry)
        trip = Trip("", [begin for _, begin in carried])
        self.written(writes)
        first, last = self.label("then"), self.label("after")
        with self.open(first, guard, writes) as inner:
            yield trip
        self.written(writes)
        here = self.here() if carried else ""
        self.line(f"br i1 {condition}, label %{first}, label %{last}")
        inner.lines.append(f"br label %{last}")
        self.join(inner)
        before = self.cursor.label
        self.block(last, fall=False)
        trip.results = [
            self.let(f"phi {kind} [ {begin}, %{here} ], [ {end}, %{before} ]")
            for (kind, begin), end in zip(carried, trip.following, strict=True)
        ]

    @contextmanager
    def loop(
        self,
        stop: str,
        carry: Iterable[tuple[str, str]] = (),
        *,
        start: str = "0",
        step: int = 1,
        nonempty: bool = False,
        guard: bool = True,
        writes: frozenset[int] | None = None,
        halt: str = "",
    ) -> Iterator[Trip]:
        """A loop `for index in range(start, stop, step)` around what the `with` block writes.

        It is left early once the word at the address `halt` is not 0.
        """
        carried = list(carry)
        trip = Trip(self.fresh("i"), [self.fresh("c") for _ in carried])
        trip.halt = halt
        before, body, after = (self.label("pre"), self.label("loop"), self.label("done"))
        self.written(writes)
        outer: Scope | None = None
        if nonempty or not guard:
            with self.open(body, writes=writes) as inner:
                yield trip
        else:
            with self.open(before, guard=True) as outer:
                with self.open(body, writes=writes) as inner:
                    yield trip
                self._close_loop(trip, carried, inner, start, stop, step, after)
        self.written(writes)
        if outer is not None:
            self._enter(trip, carried, outer, start, stop, before, after)
        elif nonempty:
            self._close_loop(trip, carried, inner, start, stop, step, after)
            self.block(after, fall=False)
            trip.results = trip.following
        else:
            with self.open(before) as outer:
                self._close_loop(trip, carried, inner, start, stop, step, after)
            self._enter(trip, carried, outer, start, stop, before, after)

    def _close_loop(
        self,
        trip: Trip,
        carried: list[tuple[str, str]],
        body: Scope,
        start: str,
        stop: str,
        step: int,
        after: str,
    ) -> None:
        """Puts header and latch around the lines of `body`, in the block that enters it."""
        previous, first = self.here(), body.lines[0][:-1]
        following, more = self.fresh("n"), self.fresh("m")
        rows = [("i64", start, trip.index, following)]
        for (kind, begin), value, end in zip(carried, trip.values, trip.following, strict=True):
            rows.append((kind, begin, value, end))
        phis = [
            f"{name} = phi {kind} [ {begin}, %{previous} ], [ {end}, %{body.label} ]"
            for kind, begin, name, end in rows
        ]
        body.lines[1:1] = phis
        body.lines += [
            f"{following} = add nsw i64 {trip.index}, {step}",
            f"{more} = icmp slt i64 {following}, {stop}",
        ]
        if trip.halt:
            word, calm, again = self.fresh(), self.fresh(), self.fresh("m")
            body.lines += [
                f"{word} = load atomic i64, ptr {trip.halt} monotonic, align 8",
                f"{calm} = icmp eq i64 {word}, 0",
                f"{again} = and i1 {more}, {calm}",
            ]
            more = again
        body.lines.append(f"br i1 {more}, label %{first}, label %{after}")
        self.line(f"br label %{first}")
        self.join(body)

    def _enter(
        self,
        trip: Trip,
        carried: list[tuple[str, str]],
        outer: Scope,
        start: str,
        stop: str,
        before: str,
        after: str,
    ) -> None:
        """Enters a loop that may have no trip, and merges what it carried."""
        some = self.let(f"icmp slt i64 {start}, {stop}")
        here = self.here()
        self.line(f"br i1 {some}, label %{before}, label %{after}")
        self.join(outer)
        last = self.cursor.label
        self.block(after, fall=False)
        trip.results = [
            self.let(f"phi {kind} [ {begin}, %{here} ], [ {end}, %{last} ]")
            for (kind, begin), end in zip(carried, trip.following, strict=True)
        ]
