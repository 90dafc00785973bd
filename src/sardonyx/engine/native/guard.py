"""Mapped files that are cut short while native code reads them: an error, not the end.

Reading behind the end of a mapped file raises SIGBUS in the reading thread. The handler here, which
is native code and calls nothing but the system, lays a page of zeros over the spot when it lies in
a watched range, notes that, and lets the instruction run again; any other fault goes to the handler
that was there before. A run that read such zeros is refused by `Range.check`, so they reach nobody.

    struct Table { ptr sigaction; Action before; Row rows[] }    Row: i64 start, stop, lost
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import weakref
from typing import Any

from sardonyx.core.errors import ExternalDataError
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.code.link import Unit
from sardonyx.loops.target import host

_ROWS = 1024
_MMAP = {"x86_64": 9, "aarch64": 222}
_READ, _PRIVATE_FIXED_ANONYMOUS = 1, 0x32
_SIGINFO, _ONSTACK = 0x4, 0x08000000
_ADDRESS_AT = 16


class _Action(ctypes.Structure):
    """`struct sigaction` of the C libraries of Linux."""

    _fields_ = [
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong)))),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


class _Row(ctypes.Structure):
    _fields_ = [("start", ctypes.c_int64), ("stop", ctypes.c_int64), ("lost", ctypes.c_int64)]


class _Table(ctypes.Structure):
    _fields_ = [("sigaction", ctypes.c_void_p), ("before", _Action), ("rows", _Row * _ROWS)]


_TEXT = """
@table = internal global [BYTES x i8] zeroinitializer, align 64
declare i64 @syscall(i64, ...)

define ptr @sx_guard(i32 %signal, ptr %info, ptr %context) {
entry:
  %asked = icmp eq i32 %signal, 0
  br i1 %asked, label %tell, label %find
tell:
  ret ptr @table
find:
  %address.at = getelementptr i8, ptr %info, i64 ADDRESS
  %address = load i64, ptr %address.at, align 8
  br label %next
next:
  %n = phi i64 [ 0, %find ], [ %n.next, %on ]
  %offset = mul i64 %n, 24
  %offset.row = add i64 %offset, ROWS_AT
  %start.at = getelementptr i8, ptr @table, i64 %offset.row
  %stop.at = getelementptr i8, ptr %start.at, i64 8
  %lost.at = getelementptr i8, ptr %start.at, i64 16
  %start = load atomic i64, ptr %start.at acquire, align 8
  %stop = load atomic i64, ptr %stop.at acquire, align 8
  %from = icmp uge i64 %address, %start
  %to = icmp ult i64 %address, %stop
  %inside = and i1 %from, %to
  br i1 %inside, label %cover, label %on
on:
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, COUNT
  br i1 %more, label %next, label %foreign
cover:
  store atomic i64 1, ptr %lost.at release, align 8
  %page = and i64 %address, -PAGE
  %made = call i64 (i64, ...) @syscall(i64 MMAP, i64 %page, i64 PAGE, i64 READ,
                                       i64 FLAGS, i64 -1, i64 0)
  %ok = icmp eq i64 %made, %page
  br i1 %ok, label %back, label %foreign
foreign:
  %sigaction = load ptr, ptr @table, align 8
  %before = getelementptr i8, ptr @table, i64 BEFORE_AT
  %put = call i32 %sigaction(i32 %signal, ptr %before, ptr null)
  br label %back
back:
  ret ptr null
}
"""


class Range:
    """Watched memory, for as long as this object lives."""

    def __init__(self, watcher: _Watcher, row: int) -> None:
        self._watcher = watcher
        self._row = watcher.table.rows[row]
        weakref.finalize(self, watcher.free, row)

    def check(self) -> None:
        """ExternalDataError (E0126) where a part of it was lost since it is watched."""
        self._watcher.arm()
        if self._row.lost:
            raise ExternalDataError(
                "E0126",
                "a file of weights was cut short, or could not be read, while it was in use",
                hint="load the model again; SARDONYX_MMAP=off copies its weights",
            )


class _Watcher:
    """The handler, its table, and which rows of that are free."""

    def __init__(self) -> None:
        # Code that a signal may enter must stay until the process ends.
        self._jit = Jit(host())
        address = self._jit.load([Unit("sx_guard", _text(), _text)])[0]
        kind = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self.table = _Table.from_address(kind(address)(0, None, None))
        self._jit.release()
        self._address = address
        self._sigaction: Any = ctypes.CDLL(None).sigaction
        pointer = ctypes.cast(self._sigaction, ctypes.c_void_p)
        self.table.sigaction = pointer.value
        self._free = list(range(_ROWS))

    def arm(self) -> None:
        """Puts the handler in place, before whatever is there."""
        now = _Action()
        self._sigaction(signal.SIGBUS, None, ctypes.byref(now))
        if now.handler == self._address:
            return
        mine = _Action(handler=self._address, flags=_SIGINFO | _ONSTACK)
        self.table.before = now
        self._sigaction(signal.SIGBUS, ctypes.byref(mine), None)

    def take(self, start: int, size: int) -> Range | None:
        """A row for the range; None where all are in use."""
        try:
            number = self._free.pop()
        except IndexError:
            return None
        row = self.table.rows[number]
        row.lost = 0
        row.start = start
        row.stop = start + size
        self.arm()
        return Range(self, number)

    def free(self, number: int) -> None:
        """Gives a row back."""
        row = self.table.rows[number]
        row.stop = 0
        row.start = 0
        self._free.append(number)


def _text() -> str:
    values = {
        "BYTES": ctypes.sizeof(_Table),
        "ADDRESS": _ADDRESS_AT,
        "ROWS_AT": _Table.rows.offset,
        "BEFORE_AT": _Table.before.offset,
        "COUNT": _ROWS,
        "PAGE": mmap.PAGESIZE,
        "MMAP": _MMAP[os.uname().machine],
        "READ": _READ,
        "FLAGS": _PRIVATE_FIXED_ANONYMOUS,
    }
    text = _TEXT
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, str(values[name]))
    return text


_watcher: _Watcher | None = None
_making = threading.RLock()


def _forked() -> None:
    global _making  # noqa: PLW0603 - the lock's holder was not forked
    _making = threading.RLock()


os.register_at_fork(after_in_child=_forked)


def watch(start: int, size: int) -> Range | None:
    """Watches a mapped file's memory; None where this system has no way to."""
    global _watcher  # noqa: PLW0603 - a process has one handler
    if not sys.platform.startswith("linux") or os.uname().machine not in _MMAP:
        return None
    with _making:
        if _watcher is None:
            _watcher = _Watcher()
    return _watcher.take(start, size)
