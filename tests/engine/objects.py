"""What object files want of others, for machines that need not be at hand."""

from __future__ import annotations

import struct

from sardonyx.engine.code.link import runtime_symbols
from sardonyx.engine.code.object import object_of
from sardonyx.engine.emit.kernel import emit
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target, make

_HASWELL = "avx avx2 fma f16c bmi bmi2 lzcnt popcnt movbe sse3 ssse3 sse4.1 sse4.2"
_SKYLAKE = f"{_HASWELL} avx512f avx512bw avx512dq avx512vl avx512cd"
_ICELAKE = (
    f"{_SKYLAKE} avx512vnni avx512vbmi avx512vbmi2 avx512ifma avx512bitalg avx512vpopcntdq "
    "gfni vaes vpclmulqdq"
)
_SAPPHIRE = f"{_ICELAKE} avx512bf16 avx512fp16 avxvnni amx-tile amx-int8 amx-bf16"

# For each level, machines that differ in what LLVM may turn code into.
MACHINES = {
    "x86-64": ("generic", ""),
    "haswell": ("avx2", _HASWELL),
    "zen3": ("avx2", f"{_HASWELL} sse4a"),
    "skylake": ("avx512", _SKYLAKE),
    "zen4": ("avx512", f"{_ICELAKE} avx512bf16 sse4a"),
    "sapphirerapids": ("amx", _SAPPHIRE),
}


def machine(name: str) -> Target:
    """The target for a machine of `MACHINES`."""
    level, features = MACHINES[name]
    return make(level, features.split())


def unlinked(kernel: Kernel, target: Target) -> set[str]:
    """The names that a kernel's code wants of others and that the linker does not know."""
    made = object_of(emit(kernel, target, "kernel"), target)
    return wanted(made) - runtime_symbols().keys()


def wanted(made: bytes) -> set[str]:
    """The undefined names of an ELF object for a 64-bit machine."""
    symbols, found = 2, set()
    (table,) = struct.unpack_from("<Q", made, 40)
    size, count = struct.unpack_from("<HH", made, 58)
    heads = [struct.unpack_from("<IIQQQQIIQQ", made, table + n * size) for n in range(count)]
    for _, kind, _, _, start, length, strings, *_ in heads:
        for at in range(start, start + length, 24) if kind == symbols else ():
            name, _, _, section = struct.unpack_from("<IBBH", made, at)
            first = heads[strings][4] + name
            if name and not section:
                found.add(made[first : made.index(0, first)].decode())
    return found
