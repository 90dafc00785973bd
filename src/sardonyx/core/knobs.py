"""Every switch that can be turned from the environment, declared once, with its type and meaning.

A knob's value is the innermost `override` of the running context, else its environment variable,
else its default. No other module reads the environment. A knob with `codegen` set changes the code
that the compiler makes and is part of every cache key.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sardonyx.core.context import held
from sardonyx.core.cores import usable_cores
from sardonyx.core.errors import UsageError

T = TypeVar("T")

_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "sardonyx.knobs", default=MappingProxyType({})
)
_registry: dict[str, Knob[Any]] = {}


@dataclass(frozen=True)
class Knob(Generic[T]):
    """One switch: `variable` is its environment variable, `parse` reads the text found there.

    `parse` raises ValueError with the wanted form, `spell` is its inverse. `default` is a
    function, since some defaults depend on the machine.
    """

    name: str
    variable: str
    default: Callable[[], T]
    parse: Callable[[str], T]
    meaning: str
    codegen: bool = False
    spell: Callable[[T], str] = str

    def __post_init__(self) -> None:
        _registry[self.name] = self

    def get(self) -> T:
        """The value in force; UsageError when the environment holds something unreadable."""
        overrides = _overrides.get()
        if self.name in overrides:
            value: T = overrides[self.name]
            return value
        text = os.environ.get(self.variable)
        return self.default() if text is None or text == "" else self.read(text)

    def read(self, text: str) -> T:
        """`text` as a value of this knob; UsageError when it cannot be one."""
        try:
            return self.parse(text)
        except ValueError as problem:
            raise UsageError(
                "E0901", f"{self.variable} is `{text}`: {problem}", hint=self.meaning
            ) from None

    @property
    def origin(self) -> str:
        """Where the value comes from: `override`, `environment` or `default`."""
        if self.name in _overrides.get():
            return "override"
        return "environment" if os.environ.get(self.variable) else "default"


def _choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text.lower()

    return parse


def _count(lowest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if text.strip().isdecimal() else -1
        if number < lowest:
            raise ValueError(f"must be a whole number of at least {lowest}")
        return number

    return parse


def _flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be 1 or 0")


def _pairs(text: str) -> Mapping[str, float]:
    pairs: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = item.partition("=")
        try:
            pairs[name.strip()] = float(number)
        except ValueError:
            raise ValueError("must look like nodes=2e6,rank=64") from None
    return MappingProxyType(pairs)


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sardonyx"


CPU = Knob(
    "cpu",
    "SARDONYX_CPU",
    lambda: "auto",
    _choice("auto", "generic", "avx2", "avx512", "amx"),
    "the instruction set to compile for; `auto` takes the best one found",
    codegen=True,
)
THREADS = Knob(
    "threads",
    "SARDONYX_THREADS",
    usable_cores,
    _count(1),
    "worker threads of a session that sets none itself",
)
PRECISION = Knob(
    "precision",
    "SARDONYX_PRECISION",
    lambda: "highest",
    _choice("highest", "high", "medium"),
    "how exact float32 contractions are; `highest` is never worse than a float32 GEMM",
    codegen=True,
)
CACHE_DIR = Knob(
    "cache_dir", "SARDONYX_CACHE_DIR", _default_cache, Path, "the folder of compiled code"
)
CACHE = Knob(
    "cache", "SARDONYX_CACHE", lambda: True, _flag, "whether compiled code is kept on disk"
)
MMAP = Knob(
    "mmap",
    "SARDONYX_MMAP",
    lambda: "auto",
    _choice("auto", "on", "off"),
    "whether weights that run as they are stay in their file: `off` copies them all, `auto` those "
    "whose file could change unnoticed, `on` none",
)
LIMITS: Knob[Mapping[str, float]] = Knob(
    "limits",
    "SARDONYX_LIMITS",
    lambda: MappingProxyType({}),
    _pairs,
    "budgets to change, such as nodes=2e6,rank=64 (names: `sardonyx doctor`)",
    spell=lambda pairs: ",".join(f"{name}={value!r}" for name, value in pairs.items()),
)
OVERRIDE: Knob[Path | None] = Knob(
    "override",
    "SARDONYX_OVERRIDE",
    lambda: None,
    Path,
    "a folder of edited stages to compile in place of our own (`sardonyx dump --out`)",
)
NO_COLOR = Knob("no_color", "NO_COLOR", lambda: False, bool, "print without colours")


def all_knobs() -> list[Knob[Any]]:
    """Every declared knob, by name."""
    return [_registry[name] for name in sorted(_registry)]


def codegen_values() -> dict[str, str]:
    """The values, as text, of the knobs that change generated code; for cache keys."""
    return {knob.name: str(knob.get()) for knob in all_knobs() if knob.codegen}


def overridden() -> dict[str, str]:
    """The values that `override` has put in force, as environment variables for a child process."""
    values = _overrides.get().items()
    return {_registry[name].variable: _registry[name].spell(value) for name, value in values}


@contextlib.contextmanager
def override(**values: Any) -> Iterator[None]:
    """Turn knobs by name for the running context: `with override(threads=2): ...`.

    Text is parsed like the environment's; UsageError for an unknown name.
    """
    unknown = sorted(set(values) - set(_registry))
    if unknown:
        raise UsageError("E0902", f"no knob is called `{unknown[0]}`", wanted=sorted(_registry))
    read = {
        name: _registry[name].read(value) if isinstance(value, str) else value
        for name, value in values.items()
    }
    with held(_overrides, MappingProxyType({**_overrides.get(), **read})):
        yield


def silence_peers() -> None:
    """Switches telemetry off in this process for whatever is imported later."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
