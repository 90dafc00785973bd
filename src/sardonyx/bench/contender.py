"""Who takes part in a measurement, and how a worker process brings one to life."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument, NotFound

NATIVE = "CPUExecutionProvider"
OURS = "sardonyx.bench.ours:session"
CHECKOUT = "sardonyx@"

Arrays = dict[str, NDArray[Any]]
Run = Callable[[], Any]


class Prepared(Protocol):
    """A model made ready to run; `names` are its outputs in the order that runs give them."""

    names: Sequence[str]
    settings: Mapping[str, Any]

    def bind(self, feeds: Arrays) -> Run:
        """A run of these feeds without arguments, as a caller in a loop would write it."""
        ...

    def arrays(self, result: Any) -> Sequence[NDArray[Any]]:
        """The outputs in what such a run returned."""
        ...


@dataclass(frozen=True)
class Contender:
    """One side of a measurement, as plain data that another process can read.

    `factory` is `module:function`; in a fresh process the function is called with the keyword
    arguments of `options` and `threads`, and returns a `Prepared`. Its import is not timed, its
    call is; `imports` are further modules to import before the clock starts. `environment` is set
    before anything is imported. `source` is a folder of modules that come before all others, the
    worker's own among them: another version of this package.
    """

    label: str
    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    imports: Sequence[str] = ()
    source: str = ""

    @classmethod
    def named(cls, name: str, model: str, label: str | None = None) -> Contender:
        """The contender that a name means: a peer of `PEERS`, or a provider for our session.

        `sardonyx@PATH` is our session on the CPU as the checkout at that path has it.
        """
        if name.startswith(CHECKOUT):
            source = _source(Path(name.removeprefix(CHECKOUT)))
            return cls(label or name, OURS, {"model": model, "provider": NATIVE}, source=source)
        known = ALIASES.get(name, name)
        if known in PEERS:
            function, extra, imports = PEERS[known]
            factory = f"sardonyx.bench.peers:{function}"
            return cls(label or known, factory, {"model": model, **extra}, imports=imports)
        if not name:
            raise InvalidArgument("E0748", "a contender needs a name", wanted=", ".join(PEERS))
        return cls(label or name, OURS, {"model": model, "provider": name})

    @property
    def provider(self) -> str:
        """The name of the provider that runs the model, if any does."""
        return str(self.options.get("provider") or self.factory.partition(":")[2])

    def to_dict(self) -> dict[str, Any]:
        """The contender as JSON-ready data."""
        return {
            "label": self.label,
            "factory": self.factory,
            "options": dict(self.options),
            "environment": dict(self.environment),
            "imports": list(self.imports),
            "source": self.source,
        }


def _source(checkout: Path) -> str:
    """The folder of a checkout that holds its package; NotFound where there is none."""
    source = checkout.resolve() / "src"
    if not (source / "sardonyx" / "bench" / "worker.py").is_file():
        raise NotFound(
            "E0749", f"`{checkout}` is no checkout of Sardonyx", wanted="a folder with src/sardonyx"
        )
    return str(source)


PEERS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "onnxruntime": ("onnxruntime", {}, ("onnxruntime",)),
    "onnxruntime-iobinding": ("onnxruntime", {"binding": True}, ("onnxruntime",)),
    "openvino": ("openvino", {}, ("openvino",)),
    "openvino-bf16": ("openvino", {"precision": "bf16"}, ("openvino",)),
}
ALIASES = {"OnnxRuntimeExecutionProvider": "onnxruntime", "OpenVINOExecutionProvider": "openvino"}


def find_factory(place: str, imports: Sequence[str] = ()) -> Callable[..., Prepared]:
    """The function that `module:function` names; NotFound where there is none."""
    module, _, name = place.partition(":")
    try:
        for other in imports:
            importlib.import_module(other)
        return cast("Callable[..., Prepared]", getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError) as problem:
        raise NotFound(
            "E0740", f"the contender `{place}` cannot be imported: {problem}", wanted="module:name"
        ) from problem


def load_pool(path: str, kind: str = "in") -> list[Arrays]:
    """The sets of a pool file with keys `in|0|name`: inputs, or with kind `out` outputs."""
    sets: dict[int, Arrays] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            sort, index, name = key.split("|", 2)
            side, _, dtype = sort.partition(":")
            if side == kind:
                array = stored[key]
                plain = array.view(DType.parse(dtype).numpy) if dtype else array
                sets.setdefault(int(index), {})[name] = plain
    return [sets[index] for index in sorted(sets)]


def save_pool(path: str, sets: Sequence[Mapping[str, NDArray[Any]]], kind: str = "in") -> None:
    """Write input sets (or output sets, with kind `out`) in the form that `load_pool` reads."""
    rows: Arrays = {}
    for index, one in enumerate(sets):
        for name, array in one.items():
            mark, plain = _storable(np.asarray(array))
            rows[f"{kind}{mark}|{index}|{name}"] = plain
    np.savez(path, allow_pickle=False, **rows)


def _storable(array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """An array that numpy's format can hold, and the mark of the type that it lost."""
    if array.dtype == object:
        return "", array.astype(str)
    if array.dtype.kind != "V":
        return "", array
    return f":{DType.from_numpy(array.dtype)}", array.view(f"u{array.dtype.itemsize}")
