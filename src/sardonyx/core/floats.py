"""The floating-point mode of the calling thread: rounding, and what becomes of subnormals."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import Any

# C's fenv_t has at most 32 bytes on the systems we know.
_Environment = ctypes.c_char * 256


@contextlib.contextmanager
def standard() -> Iterator[None]:
    """Round to nearest and keep subnormals meanwhile, whatever the thread's mode is.

    Libraries set the mode of their caller's thread (`-ffast-math` does when it is loaded), and
    what a model computes must not depend on that. Where C has no such functions nothing is done.
    """
    get, put, default = _functions()
    if get is None or put is None:
        yield
        return
    before = _Environment()
    get(before)
    put(default)
    try:
        yield
    finally:
        put(before)


@functools.cache
def _functions() -> tuple[Callable[..., Any] | None, Callable[..., Any] | None, Any]:
    """C's fegetenv and fesetenv, and the environment that a program starts with."""
    process = ctypes.CDLL(None)
    get, put = getattr(process, "fegetenv", None), getattr(process, "fesetenv", None)
    own = getattr(process, "_FE_DFL_ENV", None)
    default = ctypes.c_void_p(-1) if own is None else ctypes.byref(own)
    return get, put, default
