"""Small step functions in LLVM text, and arrays of step records, for the executor's tests."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.engine.code.link import Linker, Unit
from sardonyx.engine.native.memory import address
from sardonyx.loops import target

STEP = np.dtype([("function", "u8"), ("ids", "u8"), ("symbols", "u8"), ("flags", "i8")])
HEAD = "(ptr %table, ptr %ids, ptr %syms, ptr %scratch, i64 %tid, i64 %threads)"

# out[tid] = 1 + the sum of in[0..n), n the first symbol; in and out by the first two ids.
MIX = f"""
define void @mix{HEAD} {{
entry:
  %n = load i64, ptr %syms
  %in.id = load i32, ptr %ids
  %out.id.at = getelementptr i32, ptr %ids, i64 1
  %out.id = load i32, ptr %out.id.at
  %in.at = getelementptr ptr, ptr %table, i32 %in.id
  %in = load ptr, ptr %in.at
  %out.at = getelementptr ptr, ptr %table, i32 %out.id
  %out = load ptr, ptr %out.at
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi i64 [ 1, %entry ], [ %more, %loop ]
  %at = getelementptr i64, ptr %in, i64 %i
  %x = load i64, ptr %at
  %more = add i64 %sum, %x
  %next = add i64 %i, 1
  %go = icmp ult i64 %next, %n
  br i1 %go, label %loop, label %done
done:
  %mine = getelementptr i64, ptr %out, i64 %tid
  store i64 %more, ptr %mine
  ret void
}}
"""

# Buffer 0: element tid counts calls. Scratch: element 0 counts this thread's calls.
COUNT = f"""
define void @count{HEAD} {{
  %base = load ptr, ptr %table
  %at = getelementptr i64, ptr %base, i64 %tid
  %x = load i64, ptr %at
  %y = add i64 %x, 1
  store i64 %y, ptr %at
  %s = load i64, ptr %scratch
  %t = add i64 %s, 1
  store i64 %t, ptr %scratch
  ret void
}}
"""

# As COUNT, for programs without scratch.
TALLY = f"""
define void @tally{HEAD} {{
  %base = load ptr, ptr %table
  %at = getelementptr i64, ptr %base, i64 %tid
  %x = load i64, ptr %at
  %y = add i64 %x, 1
  store i64 %y, ptr %at
  ret void
}}
"""

# Buffer 0, float32: element 1 = element 0 * 0.5.
HALVE = f"""
define void @halve{HEAD} {{
  %base = load ptr, ptr %table
  %x = load float, ptr %base
  %y = fmul float %x, 0.5
  %at = getelementptr float, ptr %base, i64 1
  store float %y, ptr %at
  ret void
}}
"""

# Sleeps one millisecond.
NAP = f"""
declare i32 @usleep(i32)
define void @nap{HEAD} {{
  %r = call i32 @usleep(i32 1000)
  ret void
}}
"""

_linker = Linker(target.host(), None)


def function(name: str) -> int:
    """The address of one of the functions above."""
    text: str = globals()[name.upper()]
    return _linker.load([Unit(name, text, lambda: text)])[0]


class Steps:
    """Step records that keep what they point to."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int]] = []
        self.kept: list[Array] = []
        self.records = np.zeros(0, STEP)

    def add(self, name: str, ids: list[int], symbols: list[int], flags: int) -> None:
        """One more step."""
        arrays = np.array(ids, np.int32), np.array(symbols, np.int64)
        self.kept += arrays
        self.rows.append((function(name), address(arrays[0]), address(arrays[1]), flags))

    @property
    def where(self) -> tuple[int, int]:
        """Address and count, as the executor wants them."""
        self.records = np.array(self.rows, STEP)
        return address(self.records), len(self.records)


def table(*arrays: Array) -> Array:
    """The pointer table of these arrays, behind the slot that the executor has before it."""
    return np.array([0, *(address(a) for a in arrays), 0], np.uint64)[1:]
