"""Entries of a small table of float32, by the low bits of an index in each lane."""

from __future__ import annotations

from collections.abc import Sequence

from sardonyx.core.dtype import DType
from sardonyx.engine.emit.types import constant, splat, vector
from sardonyx.engine.emit.writer import Writer


def lookup(w: Writer, row: Sequence[float], index: str, lanes: int | None) -> str:
    """The entry of a row of 2^n that `index` names; from a register where the row fits in one."""
    size = {"avx2": 8, "avx512f": 16}
    fits = any(w.target.has(feature) and len(row) == size[feature] for feature in size)
    if lanes is not None and not fits and len(row) == 16 and w.target.has("avx2"):
        return _of_two(w, row, index, lanes)
    if lanes is None or not fits:
        return _from_memory(w, row, index, lanes)
    return _permuted(w, row, index, lanes)


def _of_two(w: Writer, row: Sequence[float], index: str, lanes: int) -> str:
    """The entry of two rows of eight, of which the fourth bit chooses one."""
    low, high = (_permuted(w, half, index, lanes) for half in (row[:8], row[8:]))
    kind, floats = vector("i32", lanes), vector("float", lanes)
    bit = w.let(f"and {kind} {index}, {splat('i32', '8', lanes)}")
    second = w.let(f"icmp ne {kind} {bit}, zeroinitializer")
    return w.let(f"select <{lanes} x i1> {second}, {floats} {high}, {floats} {low}")


def _values(row: Sequence[float]) -> str:
    return ", ".join(f"float {constant(DType.FLOAT32, x)}" for x in row)


def _permuted(w: Writer, row: Sequence[float], index: str, lanes: int) -> str:
    size = len(row)
    kinds = vector("float", size), vector("i32", size)
    name = "llvm.x86.avx512.permvar.sf.512" if size == 16 else "llvm.x86.avx2.permps"
    parts = []
    for first in range(0, lanes, size):
        part = _resized(w, vector("i32", lanes), index, first, lanes, size)
        parts.append(w.call(name, kinds[0], (kinds[0], f"<{_values(row)}>"), (kinds[1], part)))
    out = parts[0]
    if lanes < size:
        return _resized(w, kinds[0], out, 0, size, lanes)
    for k, part in enumerate(parts[1:], 2):
        # Parts are joined two at a time: <size * (k - 1)> and <size>, widened alike.
        before = vector("float", size * (k - 1))
        wide = _resized(w, kinds[0], part, 0, size, size * (k - 1))
        order = ", ".join(f"i32 {i}" for i in range(size * k))
        both = f"{before} {out}, {before} {wide}"
        out = w.let(f"shufflevector {both}, <{size * k} x i32> <{order}>")
    return out


def _resized(w: Writer, kind: str, a: str, first: int, width: int, to: int) -> str:
    """Lanes of a vector from `first` on, as many as wanted."""
    if width == to:
        return a
    picks = [i if i < width else -1 for i in range(first, first + to)]
    order = ", ".join("i32 poison" if i < 0 else f"i32 {i}" for i in picks)
    return w.let(f"shufflevector {kind} {a}, {kind} poison, <{to} x i32> <{order}>")


def _from_memory(w: Writer, row: Sequence[float], index: str, lanes: int | None) -> str:
    table = w.table(f"[{len(row)} x float]", _values(row))
    whole, floats = vector("i32", lanes), vector("float", lanes)
    low = w.let(f"and {whole} {index}, {splat('i32', str(len(row) - 1), lanes)}")
    out = "poison"
    for lane in range(lanes or 1):
        one = low if lanes is None else w.let(f"extractelement {whole} {low}, i32 {lane}")
        place = w.let(f"getelementptr float, ptr {table}, i32 {one}")
        item = w.let(f"load float, ptr {place}, align 4")
        if lanes is None:
            return item
        out = w.let(f"insertelement {floats} {out}, float {item}, i32 {lane}")
    return out
