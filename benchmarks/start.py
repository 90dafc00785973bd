"""One start of a contender in this process, told as JSON once its first answer is there.

python benchmarks/start.py REQUEST, a JSON object with the keys factory, imports, options, pool,
threads and watch. With `watch` the process keeps to one core, so that nothing is compiled beside
it, and the reply tells how processor time was spent until the model could run.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from sardonyx.bench.contender import find_factory, load_pool

# Where our versions have what turns kernels into LLVM text: modules of the class, class, method.
UNITS = (("engine.code.jit", "engine.jit"), "Jit", "units")
OBJECTS = (("engine.code.link", "engine.link"), "Linker", "objects")
KERNEL = "k_"
LLVM = (
    ("parse_assembly",),
    ("ModuleRef", "verify"),
    ("TargetMachine", "emit_object"),
    ("JITLibraryBuilder", "link"),
)


class Watch:
    """Adds up the processor time spent in LLVM and in writing text for it, and counts kernels."""

    def __init__(self) -> None:
        self.spent = {"llvm": 0.0, "emit": 0.0}
        self.kernels = 0

    def install(self) -> None:
        """Wrap the functions in question; the package must not have compiled anything yet."""
        binding: Any = importlib.import_module("llvmlite.binding")
        for *owner, name in LLVM:
            holder = getattr(binding, owner[0]) if owner else binding
            setattr(holder, name, self._timed("llvm", getattr(holder, name)))
        units, objects = _found(*UNITS), _found(*OBJECTS)
        setattr(units, UNITS[2], self._timed("emit", getattr(units, UNITS[2])))
        setattr(objects, OBJECTS[2], self._objects(getattr(objects, OBJECTS[2])))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*given: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*given, **named)
            finally:
                self.spent[name] += time.process_time() - start

        return timed

    def _objects(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`Linker.objects`, with every unit's text timed."""

        @functools.wraps(function)
        def objects(linker: Any, units: Any) -> Any:
            self.kernels += sum(u.name.startswith(KERNEL) for u in units)
            timed = [type(u)(u.name, u.origin, self._timed("emit", u.text)) for u in units]
            return function(linker, timed)

        return objects


def _found(modules: tuple[str, ...], name: str, _: str) -> Any:
    """The class, in the first of the modules that this version has."""
    for module in modules:
        with contextlib.suppress(ModuleNotFoundError):
            return getattr(importlib.import_module(f"sardonyx.{module}"), name)
    raise SystemExit(f"none of {', '.join(modules)} is there: say where `{name}` went")


def main() -> None:
    """Start, run once, tell."""
    request = json.loads(sys.argv[1])
    if request["watch"]:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    make = find_factory(request["factory"], request["imports"])
    watch = Watch()
    if request["watch"]:
        watch.install()
    prepared = make(**request["options"], threads=request["threads"])
    ready = time.process_time()
    prepared.bind(load_pool(request["pool"])[0])()
    told = {"ours": ready - watch.spent["llvm"], "emit": watch.spent["emit"]}
    told["kernels"] = watch.kernels
    print(json.dumps(told if request["watch"] else {}), flush=True)


if __name__ == "__main__":
    main()
