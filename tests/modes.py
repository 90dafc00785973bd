"""Other modes of floating-point arithmetic for the calling thread, set by machine code."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
from collections.abc import Callable, Iterator

from sardonyx.engine.code.link import Linker, Unit
from sardonyx.loops import target

_X86 = platform.machine().lower() in ("x86_64", "amd64")
# Bits of MXCSR, or of FPCR: rounding, and what flushes subnormals.
_BITS = {
    "up": 0x4000 if _X86 else 1 << 22,
    "down": 0x2000 if _X86 else 2 << 22,
    "zero": 0x6000 if _X86 else 3 << 22,
    "flushing": 0x8040 if _X86 else 1 << 24,
    "flushing up": 0xC040 if _X86 else 5 << 22,
}
MODES = tuple(_BITS)

_TEXT = {
    True: """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define i64 @GET() {
  %at = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %now = load i32, ptr %at
  %wide = zext i32 %now to i64
  ret i64 %wide
}
define void @SET(i64 %mode) {
  %at = alloca i32
  %low = trunc i64 %mode to i32
  store i32 %low, ptr %at
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}
""",
    False: """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define i64 @GET() {
  %now = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %now
}
define void @SET(i64 %mode) {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
""",
}
_linker = Linker(target.make("generic"), None)


@functools.cache
def _functions() -> tuple[Callable[[], int], Callable[[int], None]]:
    text = _TEXT[_X86]
    get = text.replace("@GET", "@mode_get").replace("@SET", "@unused_set")
    put = text.replace("@GET", "@unused_get").replace("@SET", "@mode_set")
    units = [Unit("mode_get", get, lambda: get), Unit("mode_set", put, lambda: put)]
    first, second = _linker.load(units)
    return (ctypes.CFUNCTYPE(ctypes.c_int64)(first), ctypes.CFUNCTYPE(None, ctypes.c_int64)(second))


def now() -> int:
    """The mode of this thread, without the record of what happened."""
    return _functions()[0]() & ~0x3F


@contextlib.contextmanager
def mode(name: str) -> Iterator[None]:
    """The thread's arithmetic in one of `MODES`."""
    get, put = _functions()
    before = get()
    put(before | _BITS[name])
    try:
        yield
    finally:
        put(before)
