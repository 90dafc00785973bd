"""What the code is made for: instruction set, vector width, registers, caches and cores.

The tuning CPU is chosen by features, because the CPU's own name is masked or wrong under many
hypervisors. A level never uses a feature above it, so that `SARDONYX_CPU` can force a lower path.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sardonyx.core import knobs
from sardonyx.core.cores import usable_cores
from sardonyx.core.dtype import DType
from sardonyx.core.errors import UsageError


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_AVX2 = _names("avx avx2 fma f16c bmi bmi2 lzcnt popcnt movbe sse3 ssse3 sse4.1 sse4.2 avxvnni")
_AVX512 = _names(
    "avx512f avx512bw avx512dq avx512vl avx512cd avx512vnni avx512bf16 avx512fp16 avx512vbmi "
    "avx512vbmi2 avx512ifma avx512bitalg avx512vpopcntdq gfni vaes vpclmulqdq"
)
_AMX = _names("amx-tile amx-int8 amx-bf16 amx-fp16")
_NEON = _names("neon dotprod i8mm bf16 fullfp16")
_WASM = _names("simd128")

_LEVELS: dict[str, tuple[str, ...]] = {
    "generic": (),
    "avx2": _AVX2,
    "avx512": (*_AVX2, *_AVX512),
    "amx": (*_AVX2, *_AVX512, *_AMX),
    "neon": _NEON,
    "wasm": _WASM,
}
_NEEDED: dict[str, frozenset[str]] = {
    "generic": frozenset(),
    "avx2": frozenset(_names("avx2 fma f16c bmi2")),
    "avx512": frozenset(_names("avx2 fma f16c bmi2 avx512f avx512bw avx512dq avx512vl avx512cd")),
    "amx": frozenset(_names("avx2 fma f16c avx512f avx512bw avx512vl amx-tile amx-int8 amx-bf16")),
    "neon": frozenset(_NEON[:1]),
}
_ALIASES = {
    "abm": "lzcnt", "bmi1": "bmi", "pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2",
    "avx_vnni": "avxvnni", "amx_tile": "amx-tile", "amx_int8": "amx-int8",
    "amx_bf16": "amx-bf16", "amx_fp16": "amx-fp16", "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16", "avx512_fp16": "avx512fp16", "avx512_vbmi2": "avx512vbmi2",
    "avx512_bitalg": "avx512bitalg", "avx512_vpopcntdq": "avx512vpopcntdq",
    "asimd": "neon", "asimddp": "dotprod", "asimdhp": "fullfp16",
}  # fmt: skip
# By kind of machine: LLVM's name of it where it is another one, and the features that are said.
_TRIPLES = {
    "x86": "x86_64-unknown-linux-gnu",
    "arm": "aarch64-unknown-linux-gnu",
    "wasm": "wasm32-unknown-unknown",
}
_RELEVANT = {"x86": (*_LEVELS["amx"], "prefer-256-bit"), "arm": _NEON, "wasm": _WASM}
# What one instruction does: the feature of x86-64 that brings it, and the levels that have it.
_CAN = {"fma": ("fma", "neon"), "round": ("avx", "neon", "wasm"), "half": ("f16c", "neon")}
_TUNING = (
    ("amx-fp16", "graniterapids"),
    ("amx-tile", "sapphirerapids"),
    ("avx512bf16 sse4a", "znver4"),
    ("avx512vnni", "icelake-server"),
    ("avx512f", "skylake-avx512"),
    ("avx2 sse4a", "znver3"),
    ("avxvnni", "alderlake"),
    ("avx2", "haswell"),
)


@dataclass(frozen=True)
class Target:
    """A kind of machine to make code for.

    `level` is generic, avx2, avx512, amx (x86-64) or neon, generic (elsewhere), or wasm. `features`
    are LLVM's names of what may be used. `vector_bits` is the width of a vector register,
    `registers` how many there are. Caches are in bytes: l1 and l2 of one core, l3 shared. `cores`
    is how many this process may keep busy. `cpu`, `feature_string` and `triple` are what LLVM's
    target machine wants; the triple of this machine is empty.
    """

    level: str
    features: frozenset[str]
    vector_bits: int
    registers: int
    l1: int
    l2: int
    l3: int
    cores: int
    cpu: str
    feature_string: str
    triple: str = ""

    def lanes(self, dtype: DType) -> int:
        """Elements of `dtype` in a vector register; at least 1."""
        return max(1, self.vector_bits // max(8, dtype.bits))

    def has(self, *features: str) -> bool:
        """Whether every one of these features may be used."""
        return self.features.issuperset(features)

    def can(self, what: str) -> bool:
        """Whether one instruction does it: `fma` multiplies and adds with one rounding, `round`
        gives whole floats, `half` converts from and to float16.
        """
        return self.level in _CAN[what] or _CAN[what][0] in self.features

    @property
    def key(self) -> str:
        """What machine code depends on, as text; for cache keys."""
        return " ".join(filter(None, (self.cpu, self.feature_string, self.triple)))


def host() -> Target:
    """This machine at the level that the knob `cpu` asks for; UsageError where it cannot."""
    return _host(knobs.CPU.get())


@functools.lru_cache
def _host(wanted: str) -> Target:
    found = machine_features()
    usable = [name for name in _order() if _NEEDED[name] <= found]
    level = usable[-1] if wanted == "auto" else wanted
    if level not in usable:
        raise UsageError(
            "E0903",
            f"SARDONYX_CPU asks for `{wanted}`, which this machine does not have",
            given=wanted,
            wanted=", ".join(usable),
        )
    return make(level, found)


def machine_features() -> frozenset[str]:
    """LLVM's names of the features of this machine that code may use, of every level."""
    return _machine_features()


@functools.lru_cache
def _machine_features() -> frozenset[str]:
    names = {_ALIASES.get(flag, flag) for flag in _flags()}
    known = {name for level in _LEVELS.values() for name in level} | {"sse4a"}
    if "amx-tile" in names and not _tiles_permitted():
        names -= set(_AMX)
    return frozenset(names & known)


def make(level: str, found: Iterable[str] | None = None) -> Target:
    """The target of a level with the features in `found` (None: all that the level allows).

    Caches and cores are this machine's. Code for a level above the machine's, or for another kind
    of machine, can be made and looked at, not run here.
    """
    allowed = _LEVELS[level]
    have = frozenset(allowed if found is None else found)
    features = have.intersection(allowed)
    kind = _kind(level)
    wide = {"avx512": 512, "amx": 512, "avx2": 256}.get(level, 128)
    l1, l2, l3 = _caches()
    return Target(
        level=level,
        features=features,
        vector_bits=wide,
        registers=32 if wide == 512 or kind == "arm" else 16,
        l1=l1,
        l2=l2,
        l3=l3,
        cores=usable_cores(),
        cpu={"x86": _x86_cpu(features, have), "arm": _arm_cpu(), "wasm": "generic"}[kind],
        feature_string=_feature_string(level, features),
        triple="" if level in _order() else _TRIPLES[kind],
    )


def _kind(level: str) -> str:
    """The kind of machine that a level belongs to, `generic` being this one's."""
    if level == "generic":
        return "x86" if _is_x86() else "arm"
    return {"neon": "arm", "wasm": "wasm"}.get(level, "x86")


def _x86_cpu(features: frozenset[str], have: frozenset[str]) -> str:
    visible = features | (have & {"sse4a"})
    if "avx2" not in features:
        return "x86-64"
    return next(cpu for needed, cpu in _TUNING if visible.issuperset(needed.split()))


def _arm_cpu() -> str:
    return "apple-m1" if sys.platform == "darwin" and not _is_x86() else "generic"


def _feature_string(level: str, features: frozenset[str]) -> str:
    if level == "generic":
        return ""
    relevant = _RELEVANT[_kind(level)]
    return ",".join(f"{'+' if name in features else '-'}{name}" for name in relevant)


def _order() -> tuple[str, ...]:
    return ("generic", "avx2", "avx512", "amx") if _is_x86() else ("generic", "neon")


def _is_x86() -> bool:
    return os.uname().machine.lower() in ("x86_64", "amd64")


def _flags() -> list[str]:
    if not _is_x86() and sys.platform == "darwin":
        return ["neon", "dotprod", "fullfp16"]
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [] if _is_x86() else ["neon"]
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return value.split()
    return []


def _tiles_permitted() -> bool:
    """Asks the kernel for tile registers, once per process; threads inherit the permission."""
    request_permission, tile_data, arch_prctl = 0x1023, 18, 158
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(arch_prctl, request_permission, tile_data) == 0)


@functools.lru_cache
def _caches() -> tuple[int, int, int]:
    sizes = {1: 32 << 10, 2: 512 << 10, 3: 8 << 20}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (index / "type").read_text(encoding="ascii").strip()
            level = int((index / "level").read_text(encoding="ascii"))
            size = _bytes((index / "size").read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            continue
        if kind != "Instruction" and size > 0:
            sizes[level] = size
    return sizes[1], sizes[2], sizes[3]


def _bytes(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)
