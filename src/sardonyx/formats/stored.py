"""Data that stay in their file until they are wanted, and what happens when the file changes.

A `Stored` file is known by inode, length and times. `read` copies a piece into private memory and
then asks whether the file is still the one that was known, so no later change can reach what was
read. `map` gives the file's own pages, for data that a run reads as they are; whoever uses them
asks `check` after each use. Linux notes the time of a write before its first byte shows, so a
check that comes after the reading misses no change: there is no moment between check and use.

That needs times that move with every write: files on network or user-space systems, files that
somebody holds open for writing, and files younger than the clock's step are copied, not mapped.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sardonyx.core import knobs
from sardonyx.core.errors import ExternalDataError

LARGE = 1 << 20
_STEP = 0.02
_COARSE = 2.0
# By their magic numbers: ext, xfs, btrfs, f2fs, tmpfs, zfs, overlay.
_EXACT = frozenset((0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994, 0x2FC12FC1, 0x794C7630))
_PIECE = 1 << 30
_LABELS = ("st_nlink", "st_mode", "st_uid", "st_gid")
# Whoever opens a leased file is announced by a signal; this one is ignored unless asked for.
_SET_SIGNAL = 10


class Stored:
    """An open file that must stay as it is; it owns the descriptor."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._descriptor = descriptor
        self._settle()
        self._known = os.fstat(descriptor)
        self._place = self._where()
        self._map: weakref.ref[mmap.mmap] | None = None
        self._mappable: bool | None = None

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    @property
    def size(self) -> int:
        """The length of the file when it was opened."""
        return self._known.st_size

    def _settle(self) -> None:
        """Waits until the next write must show in the file's times."""
        found = os.fstat(self._descriptor)
        age = time.time() - max(found.st_mtime, found.st_ctime)
        if 0 <= age < _STEP:
            time.sleep(_STEP - age)

    def read(self, offset: int, length: int) -> memoryview:
        """`length` bytes from `offset` in memory of their own; ExternalDataError (E0126)."""
        held = np.empty(length, np.uint8).data
        self.fill(held, offset)
        self.check()
        return held.toreadonly()

    def fill(self, target: memoryview, offset: int) -> None:
        """Copies bytes from `offset` into `target`, unchecked; E0126 where the file is shorter."""
        done = 0
        while done < len(target):
            piece = target[done : done + _PIECE]
            got = os.preadv(self._descriptor, [piece], offset + done)
            if not got:
                raise self.changed("was cut short")
            done += got

    def map(self) -> memoryview | None:
        """The whole file as it lies in the system's memory; None where only a copy is safe."""
        if self._mappable is None:
            self._mappable = self._may_map()
        whole = None if self._map is None else self._map()
        if whole is None and self._mappable:
            try:
                whole = mmap.mmap(self._descriptor, self.size, mmap.MAP_PRIVATE, mmap.PROT_READ)
            except (OSError, ValueError):
                self._mappable = False
                return None
            self._map = weakref.ref(whole)
        return None if whole is None else memoryview(whole)

    def check(self) -> None:
        """ExternalDataError (E0126) where the file was written to since it was opened."""
        now, known = os.fstat(self._descriptor), self._known
        if now.st_mtime_ns != known.st_mtime_ns or now.st_size != known.st_size:
            raise self.changed("was written to")
        if now.st_ctime_ns != known.st_ctime_ns:
            # A new name, link, owner or mode moves this time too, and leaves the data alone.
            same = all(getattr(now, label) == getattr(known, label) for label in _LABELS)
            if same and self._where() == self._place:
                raise self.changed("was written to, and its old time was put back,")
            self._known, self._place = now, self._where()

    def changed(self, how: str) -> ExternalDataError:
        """The exception for a file that is not what it was."""
        return ExternalDataError(
            "E0126",
            f"`{self.name}` {how} while its data were in use",
            file=self.name,
            hint="put new files in place by renaming, load the model again, or set mmap=off",
        )

    def _where(self) -> str:
        try:
            return str(Path(f"/proc/self/fd/{self._descriptor}").readlink())
        except OSError:
            return ""

    def _may_map(self) -> bool:
        wish = knobs.MMAP.get()
        if wish != "auto":
            return wish == "on"
        whole = self._known.st_mtime_ns % 1_000_000_000 == 0
        young = whole and time.time() - self._known.st_mtime < _COARSE
        return not young and _system_of(self._descriptor) in _EXACT and not self._is_written()

    def _is_written(self) -> bool:
        """Whether somebody has the file open for writing, as far as that can be known."""
        try:
            fcntl.fcntl(self._descriptor, _SET_SIGNAL, signal.SIGURG)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as problem:
            return problem.errno == errno.EAGAIN
        fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False


def _system_of(descriptor: int) -> int:
    """The magic number of the file system that a file lies on; 0 where it cannot be known."""
    found = (ctypes.c_long * 32)()
    try:
        failed = ctypes.CDLL(None, use_errno=True).fstatfs(descriptor, ctypes.byref(found))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else found[0] & 0xFFFFFFFF


@dataclass(frozen=True)
class Piece:
    """A stretch of a stored file: a source of a tensor's elements."""

    file: Stored
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length

    def read(self) -> memoryview:
        """The bytes, in memory of their own."""
        return self.file.read(self.offset, self.length)

    def map(self) -> tuple[memoryview, Stored] | None:
        """The bytes where they lie, and their file; None where only `read` is safe."""
        whole = self.file.map() if self.length >= LARGE else None
        return (
            None if whole is None else (whole[self.offset : self.offset + self.length], self.file)
        )
