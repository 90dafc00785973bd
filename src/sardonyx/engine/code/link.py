"""Machine code into memory: units of LLVM text become addresses, by way of the object cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import binding

from sardonyx.core import knobs
from sardonyx.core.errors import CompileError
from sardonyx.core.limits import Limits, still_compiling
from sardonyx.engine.code import cache, fork, source
from sardonyx.engine.code import object as codegen
from sardonyx.loops.target import Target

_MATH = (
    "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp exp2 expm1 log log2 log10 "
    "log1p pow sqrt cbrt erf erfc fmod remainder atan2 hypot floor ceil trunc round rint "
    "nearbyint fmin fmax fma ldexp"
)
_SYSTEM = (
    "memcpy memmove memset memcmp bcmp syscall usleep clock_gettime "
    "sigfillset sigdelset pthread_sigmask pthread_detach pthread_setname_np"
)
_PYTHON = (
    "PyEval_SaveThread PyEval_RestoreThread PyErr_CheckSignals PyErr_Occurred "
    "PyObject_CallNoArgs Py_DecRef Py_IncRef PyCapsule_GetPointer"
)
_WRITERS = tuple(
    f"sardonyx.engine.{name}"
    for name in ("emit.kernel", "code.object", "native.entry", "native.executor")
)
_serial = itertools.count()


@dataclass(frozen=True)
class Unit:
    """One function to load: its symbol, what its code is made from, and how to write that code.

    Units of equal `origin` have equal code for a target; `text` gives the LLVM module defining
    `name`, called only where no object is kept.
    """

    name: str
    origin: str
    text: Callable[[], str]


class Linker:
    """Loads units for one target; the code lives as long as this object.

    `compiled` and `found` count what had to be compiled and what the cache gave; `seconds` is the
    time spent compiling, `nbytes` the size of what is loaded. `store` is the object cache, None
    for none.
    """

    def __init__(self, target: Target, store: cache.Cache | None) -> None:
        self.target = target
        self.store = store
        self.compiled = 0
        self.found = 0
        self.seconds = 0.0
        self.nbytes = 0
        self._addresses: dict[str, int] = {}
        self._trackers: list[Any] = []
        self._jit: Any = None
        self.prefix = "\n".join((target.key, codegen.LLVM, source.digest(*_WRITERS), *_knobs()))

    def _compiler(self) -> Any:
        fork.LLVM.check()
        if self._jit is not None:
            return self._jit
        machine = codegen.machine(self.target.cpu, self.target.feature_string)
        jit = binding.create_lljit_compiler(machine, use_jit_link=True)
        library = binding.JITLibraryBuilder()
        for name, address in runtime_symbols().items():
            library.import_symbol(name, address)
        self._trackers.append(library.link(jit, "runtime"))
        self._jit = jit
        return jit

    def load(self, units: Sequence[Unit]) -> list[int]:
        """The addresses of the units, in order; CompileError where one cannot be made."""
        new = {unit.name: unit for unit in units if unit.name not in self._addresses}
        if new:
            objects = self.objects(list(new.values()))
            self._link(list(new), dict(zip(new, objects, strict=True)))
        return [self._addresses[unit.name] for unit in units]

    def recall(self, keys: Mapping[str, str]) -> dict[str, int] | None:
        """The addresses of units by name, from the cache keys of `key_of`; None if one is gone."""
        objects: dict[str, bytes] = {}
        for name, key in keys.items():
            kept = self.store.get(key) if self.store and name not in self._addresses else b""
            if kept is None:
                return None
            if kept:
                objects[name] = kept
        if objects:
            self._link(list(objects), objects)
        return {name: self._addresses[name] for name in keys}

    def key_of(self, unit: Unit) -> str:
        """Where the cache keeps the object of a unit."""
        return hashlib.sha256(f"{self.prefix}\n{unit.name}\n{unit.origin}".encode()).hexdigest()

    def objects(self, units: Sequence[Unit]) -> list[bytes]:
        """The object files of the units, in order: kept ones, and new ones, which are kept."""
        keys = [self.key_of(unit) for unit in units]
        found = [self.store.get(key) if self.store else None for key in keys]
        missing = [n for n, kept in enumerate(found) if kept is None]
        self.found += len(found) - len(missing)
        start = time.perf_counter()
        texts = [self._within_limits(units[n].text, start) for n in missing]
        for n, made in zip(missing, _compiled(texts, self.target), strict=True):
            found[n] = made
            if self.store:
                self.store.put(keys[n], made)
        self.compiled += len(missing)
        self.seconds += time.perf_counter() - start
        return [made for made in found if made is not None]

    def release(self) -> None:
        """Keep the code until the process ends, for threads that may outlive the interpreter."""
        for tracker in self._trackers:
            tracker.detach()
        self._jit.detach()

    def _within_limits(self, text: Callable[[], str], start: float) -> Callable[[], str]:
        """`text`, refused once compiling has taken too long."""

        def checked() -> str:
            still_compiling()
            Limits.current().check_compile_seconds(self.seconds + time.perf_counter() - start)
            return text()

        return checked

    def _link(self, units: Sequence[str], objects: dict[str, bytes]) -> None:
        self.nbytes += sum(len(objects[name]) for name in units)
        Limits.current().check_code(self.nbytes)
        compiler = self._compiler()
        library = binding.JITLibraryBuilder().add_jit_library("runtime")
        for name in units:
            library.add_object_img(objects[name]).export_symbol(name)
        try:
            tracker = library.link(compiler, f"units{next(_serial)}")
        except RuntimeError as error:
            raise CompileError("E0804", f"the code cannot be linked: {error}") from None
        self._trackers.append(tracker)
        self._addresses.update({name: tracker[name] for name in units})


def _compiled(texts: Sequence[Callable[[], str]], target: Target) -> list[bytes]:
    if not texts:
        return []
    from sardonyx.engine.code import helper  # noqa: PLC0415 - where something is compiled only

    return helper.objects_of(texts, target)


def _knobs() -> list[str]:
    return [f"{name}={value}" for name, value in sorted(knobs.codegen_values().items())]


@functools.lru_cache
def runtime_symbols() -> dict[str, int]:
    """Addresses of what code may call outside itself: memory, math, the system, Python."""
    names = _SYSTEM.split()
    names += [f"{name}{suffix}" for name in _MATH.split() for suffix in ("", "f")]
    process = ctypes.CDLL(None)
    found = [(name, process) for name in names]
    found += [(name, ctypes.pythonapi) for name in _PYTHON.split()]
    return {
        name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        for name, library in found
        if hasattr(library, name)
    }
