"""What one run needs for itself: an arena, scratch, and the shapes bound to them.

A program has as many workspaces as it has had callers at once. A run takes one that is idle, the
last one used first, or makes one; it shares nothing else, so runs wait neither for each other nor
for a run that they interrupt. Those that a second of runs left idle are dropped.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Hashable, Iterator

from sardonyx.core.limits import Limits
from sardonyx.engine.native.memory import address, aligned
from sardonyx.engine.native.threads import Runner
from sardonyx.engine.program.bound import Bound

_IDLE_SECONDS = 1.0


class Workspace:
    """Memory of one run at a time; `bounds` are what runs of earlier shapes left ready."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.bounds: dict[Hashable, Bound] = {}
        self.used = True
        self.arena = aligned(0)
        self.base = address(self.arena)

    @property
    def nbytes(self) -> int:
        """The bytes that this workspace holds."""
        return self.arena.nbytes + self.runner.memory.nbytes

    def resize(self, size: int) -> None:
        """Another arena, of `size` bytes; what was bound to the one before goes with it."""
        self.bounds.clear()
        self.arena = aligned(size)
        self.base = address(self.arena)


class Workspaces:
    """The workspaces of a program, which `make` makes."""

    def __init__(self, threads: int, scratch: int, limits: Limits, flush: bool) -> None:
        self._threads, self._scratch = threads, scratch
        self._limits, self._flush = limits, flush
        self._all: weakref.WeakSet[Workspace] = weakref.WeakSet()
        self._trimmed = time.monotonic()
        # Lists pop and append at once for all threads: the run that finds it empty makes its own.
        self.idle: list[Workspace] = []

    @contextlib.contextmanager
    def one(self, size: int) -> Iterator[Workspace]:
        """A workspace for the time of a run, with an arena of at least `size` bytes."""
        try:
            found = self.idle.pop()
        except IndexError:
            found = Workspace(self._runner())
            self._all.add(found)
        try:
            if found.arena.nbytes < size:
                found.resize(0)
                self._permit(size)
                found.resize(size)
            yield found
        finally:
            self.give(found)

    def give(self, workspace: Workspace) -> None:
        """Takes back what `idle` gave."""
        workspace.used = True
        self.idle.append(workspace)
        if len(self.idle) > 1:
            self._trim()

    def _trim(self) -> None:
        """Drops what was not used for a second."""
        now = time.monotonic()
        if now - self._trimmed < _IDLE_SECONDS:
            return
        self._trimmed = now
        for one in list(self.idle):
            if not one.used:
                with contextlib.suppress(ValueError):
                    self.idle.remove(one)
            one.used = False

    def forget(self, key: Hashable) -> None:
        """Drops what is bound to a set of shapes."""
        for one in list(self._all):
            one.bounds.pop(key, None)

    def _runner(self) -> Runner:
        self._permit(self._scratch * self._threads)
        return Runner(self._threads, self._scratch, flush=self._flush, limits=self._limits)

    def _permit(self, more: int) -> None:
        """Whether the callers at once may have that much; idle workspaces go first."""
        held = sum(one.nbytes for one in list(self._all))
        if held + more > self._limits.memory_allowed():
            self.idle.clear()
            held = sum(one.nbytes for one in list(self._all))
        self._limits.check_memory(held + more)
