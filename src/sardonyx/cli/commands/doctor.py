"""`sardonyx doctor`: what this machine and installation can do."""

from __future__ import annotations

import platform
import sys
from dataclasses import fields
from importlib import metadata
from typing import Any

import click

from sardonyx.cli.output import Output, show, speaks, table
from sardonyx.core import knobs
from sardonyx.core.limits import Limits
from sardonyx.core.version import __version__
from sardonyx.engine.code import cache
from sardonyx.engine.native.entry import layout_holds
from sardonyx.loops.target import host
from sardonyx.providers.base import Provider
from sardonyx.providers.registry import providers

PACKAGES = ("numpy", "ml_dtypes", "llvmlite", "click", "rich", "onnx", "torch", "onnxscript",
            "onnxruntime", "openvino", "scikit-learn")  # fmt: skip


@click.command()
@speaks
def command(out: Output) -> None:
    """Show the CPU, the providers, versions, caches, knobs and limits.

    \b
    sardonyx doctor
    """
    out.data("doctor", examine(), _print)


def examine() -> dict[str, Any]:
    """Everything doctor knows, as JSON-ready data."""
    cpu = host()
    store = cache.default()
    return {
        "sardonyx": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": {"level": cpu.level, "tuned_for": cpu.cpu, "features": sorted(cpu.features),
                "vector_bits": cpu.vector_bits, "cores": cpu.cores,
                "caches": [cpu.l1, cpu.l2, cpu.l3]},
        "direct_call": layout_holds(),
        "providers": {name: _state(p) for name, p in providers().items()},
        "packages": {name: _version(name) for name in PACKAGES},
        "cache": {"folder": str(knobs.CACHE_DIR.get()), "in_use": store is not None},
        "knobs": [{"name": k.name, "variable": k.variable, "value": str(k.get()),
                   "from": k.origin, "meaning": k.meaning} for k in knobs.all_knobs()],
        "limits": {f.name: getattr(Limits.current(), f.name) for f in fields(Limits)},
    }  # fmt: skip


def _state(provider: Provider) -> str:
    return provider.missing() or "; ".join(("usable", *provider.caveats()))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _print() -> None:
    found = examine()
    cpu = found["cpu"]
    caches = " / ".join(f"{size // 1024} KiB" for size in cpu["caches"])
    show(f"Sardonyx {found['sardonyx']}, Python {found['python']}, {found['platform']}")
    show(f"CPU      level {cpu['level']}, {cpu['vector_bits']}-bit vectors, {cpu['cores']} cores, "
         f"caches {caches}, tuned for {cpu['tuned_for']}")  # fmt: skip
    show(f"         {' '.join(cpu['features'])}")
    call = "array structs are read directly" if found["direct_call"] else "arrays go through ctypes"
    show(f"calls    {call}")
    show(f"cache    {found['cache']['folder']}" + ("" if found["cache"]["in_use"] else " (off)"))
    show(table(("provider", "state"), found["providers"].items()))
    show(table(("package", "version"), found["packages"].items()))
    show(table(("knob", "variable", "value", "from", "meaning"),
               [tuple(k.values()) for k in found["knobs"]]))  # fmt: skip
    limits = [(k, v if v is not None else "none") for k, v in found["limits"].items()]
    show(table(("limit", "value"), limits))
