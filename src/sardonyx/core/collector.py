"""Holding Python's garbage collector back while much is made that stays."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_holders = 0


@contextmanager
def held() -> Iterator[None]:
    """Inside, nothing is looked through for cycles, unless the caller collects.

    Compiling makes hundreds of thousands of small objects that stay; looking through them again
    and again took a sixth of its time. Any number of threads may be inside; the collector is
    on again once the last has left, if it was on before.
    """
    global _holders  # noqa: PLW0603 - the collector is the process's
    with _lock:
        resume = _holders == 0 and gc.isenabled()
        _holders += 1
        if resume:
            gc.disable()
            _resumes.append(True)
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0 and _resumes:
                _resumes.clear()
                gc.enable()


_resumes: list[bool] = []
