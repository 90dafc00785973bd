"""What a measurement ran on: processor, memory, versions, and how quiet the machine was."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TELLING = (
    "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
PACKAGES = ("numpy", "llvmlite", "onnxruntime", "openvino", "torch", "onnx")


def _fields(path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    return found


def describe() -> dict[str, Any]:
    """The machine as JSON-ready data; what the system does not tell is left empty."""
    processor = _fields("/proc/cpuinfo")
    flags = set((processor.get("flags") or processor.get("Features") or "").split())
    memory = _fields("/proc/meminfo").get("MemTotal", "0 kB").split()[0]
    return {
        "processor": processor.get("model name", platform.processor()),
        "features": [flag for flag in TELLING if flag in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_gib": round(int(memory) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": load(),
    }


def load() -> float:
    """Runnable processes over the last minute, before anything of ours ran."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The installed versions of those packages that are installed."""
    found: dict[str, str] = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
