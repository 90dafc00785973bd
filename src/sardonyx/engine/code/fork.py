"""LLVM and forks: no child begins with LLVM in the midst of something.

Whoever calls LLVM holds llvmlite's one lock. A fork takes it first, so that no other thread is
inside, and both sides let go of it: the child finds LLVM at rest and nobody's lock. A fork waits
for one kernel at most.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from llvmlite.binding import ffi

from sardonyx.core.errors import CompileError

_PATIENCE = 60.0


class Gate:
    """What a fork does with a lock (an RLock): waits `patience` seconds for it, then goes on.

    `broken` is true in a child that was made while another thread kept the lock all the time.
    """

    def __init__(self, lock: Any, patience: float = _PATIENCE) -> None:
        self._lock, self._patience = lock, patience
        self._mine = threading.local()
        self.broken = False

    def before(self) -> None:
        """Take the lock."""
        self._mine.held = self._lock.acquire(timeout=self._patience)

    def parent(self) -> None:
        """Let go of it."""
        if self._mine.held:
            self._lock.release()

    def child(self) -> None:
        """Let go of it, or take it from a thread that is not here."""
        self.parent()
        if not self._mine.held:
            self._lock._at_fork_reinit()
            self.broken = True

    def check(self) -> None:
        """CompileError where what the lock guards cannot be used in this process."""
        if self.broken:
            raise CompileError(
                "E0807",
                "this process was forked while another thread compiled, and cannot compile",
                hint="make sessions before the fork, or start processes by spawn",
            )


LLVM = Gate(ffi.lib._lock._lock)

os.register_at_fork(before=LLVM.before, after_in_parent=LLVM.parent, after_in_child=LLVM.child)
