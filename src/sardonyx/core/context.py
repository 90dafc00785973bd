"""Values of a context, which finalizers may change too while they are changed."""

from __future__ import annotations

import contextlib
import contextvars
import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Given = TypeVar("Given")
Made = TypeVar("Made")


@contextlib.contextmanager
def held(variable: contextvars.ContextVar[T], value: T) -> Iterator[None]:
    """Within the block a variable has this value, afterwards the one before."""
    token = _undisturbed(variable.set, value)
    try:
        yield
    finally:
        _undisturbed(variable.reset, token)


def _undisturbed(change: Callable[[Given], Made], given: Given) -> Made:
    """A change of a context that no finalizer interrupts.

    Python 3.11 collects garbage inside one; a finalizer that changes the context meanwhile frees
    what the change still reads.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return change(given)
    finally:
        if collects:
            gc.enable()
