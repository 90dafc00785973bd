"""The budgets that ride along from load to run: one object, one question per method.

Whoever allocates, loops or recurses because a model or a request says so asks first. A question
answered with no raises `LimitExceeded`, which names the limit and says how to raise it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sardonyx.core import knobs
from sardonyx.core.context import held
from sardonyx.core.dtype import DType
from sardonyx.core.errors import LimitExceeded, UsageError

MIB = 1 << 20
# Elements, besides dims of 0, that no array of numpy's may have.
_ADDRESSES = 1 << 59
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """Budgets by name; sizes in bytes, times in seconds; None means unlimited.

    `Limits.current()` is the set in force: that of the session at work, or else the default one
    with the changes of `SARDONYX_LIMITS`.
    """

    file_bytes: int | None = (1 << 31) - 1
    external_bytes: int | None = None
    depth: int = 100
    fields: int = 10_000_000
    nodes: int = 1_000_000
    initializers: int = 1_000_000
    inlined: int = 1_000_000
    rank: int = 64
    tensor_bytes: int = 1 << 47
    fold_bytes: int = 64 * MIB
    fold_total: int = 256 * MIB
    memory_bytes: int | None = None
    memory_share: float = 0.8
    compile_seconds: float = 120.0
    code_bytes: int = 64 * MIB
    run_seconds: float | None = None
    trips: int = 10_000_000
    variants: int = 64

    @classmethod
    def current(cls) -> Limits:
        """Those that rule what runs here, else the defaults with the changes of the knob."""
        return _ruling.get() or cls().changed(knobs.LIMITS.get())

    @contextlib.contextmanager
    def ruling(self) -> Iterator[None]:
        """Within the block these limits are the current ones, for all that asks there."""
        with held(_ruling, self):
            yield

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """As `ruling`, for work that `still_compiling` ends when `compile_seconds` are over.

        Within another such block the time is that one's.
        """
        with held(_compiling, _compiling.get() or time.monotonic()), self.ruling():
            yield

    def changed(self, values: Mapping[str, float]) -> Limits:
        """A copy with budgets replaced by name; UsageError for an unknown name."""
        known = {field.name: field.type for field in fields(self)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(
                "E0902", f"no limit is called `{unknown[0]}`", hint=f"known: {', '.join(known)}"
            )
        whole = {
            name: value if "float" in str(known[name]) else int(value)
            for name, value in values.items()
        }
        return replace(self, **whole)  # type: ignore[arg-type]

    def check_file(self, nbytes: int, name: str | None = None) -> None:
        """Whether a model file of that size may be decoded."""
        self._ask("file_bytes", nbytes, "E0501", f"the file has {nbytes} bytes", file=name)

    def check_external(self, nbytes: int, name: str | None = None) -> None:
        """Whether external data of that size in all may be mapped."""
        said = f"the external data have {nbytes} bytes"
        self._ask("external_bytes", nbytes, "E0501", said, file=name)

    def check_depth(self, depth: int, what: str = "messages") -> None:
        """Whether things may nest that deep."""
        self._ask("depth", depth, "E0502", f"{what} are nested {depth} deep")

    def check_fields(self, count: int) -> None:
        """Whether a file may have that many fields."""
        self._ask("fields", count, "E0503", f"the file has {count} fields or more")

    def check_nodes(self, count: int) -> None:
        """Whether a model may have that many nodes, subgraphs and functions included."""
        self._ask("nodes", count, "E0503", f"the model has {count} nodes or more")

    def check_initializers(self, count: int) -> None:
        """Whether a model may have that many initializers."""
        self._ask("initializers", count, "E0503", f"the model has {count} initializers or more")

    def check_inlined(self, count: int) -> None:
        """Whether inlining may grow the model to that many nodes."""
        self._ask("inlined", count, "E0503", f"inlining makes {count} nodes or more")

    def check_rank(self, rank: int, tensor: str | None = None) -> None:
        """Whether a tensor may have that many dims."""
        self._ask("rank", rank, "E0504", f"the tensor has {rank} dims", tensor=tensor)

    def check_tensor(self, dtype: DType, dims: Sequence[int], tensor: str | None = None) -> int:
        """The element count of a tensor of these dims, or LimitExceeded by rank or size."""
        self.check_rank(len(dims), tensor)
        count = 1
        for dim in dims:
            count *= dim
        nbytes = count * 8 if dtype.is_string else dtype.nbytes(count)
        said = f"the tensor has {nbytes} bytes"
        self._ask("tensor_bytes", nbytes, "E0504", said, tensor=tensor)
        return count

    def check_array(self, dtype: DType, dims: Sequence[int], tensor: str | None = None) -> int:
        """As `check_tensor`, for an array to be made: of no elements, too, the other dims count."""
        count = self.check_tensor(dtype, dims, tensor)
        if count == 0 and math.prod(dim or 1 for dim in dims) >= _ADDRESSES:
            self.check_tensor(dtype, [dim or 1 for dim in dims], tensor)
        return count

    def check_fold(self, nbytes: int, total: int, model_bytes: int, node: str | None) -> None:
        """Whether folding may make a tensor of `nbytes`, `total` bytes in all."""
        said = f"folding makes a tensor of {nbytes} bytes"
        self._ask("fold_bytes", nbytes, "E0505", said, node=node)
        if total > 2 * model_bytes:
            said = f"folding makes {total} bytes in all"
            self._ask("fold_total", total, "E0505", said, node=node)

    def check_memory(self, nbytes: int, tensor: str | None = None) -> None:
        """Whether a run may need that much memory at its peak."""
        allowed = self.memory_allowed()
        if nbytes > allowed:
            raise self._exceeded(
                "memory_bytes", allowed, "E0506", f"the run needs {nbytes} bytes", tensor=tensor
            )

    def check_compile_seconds(self, seconds: float) -> None:
        """Whether compiling may have taken that long."""
        self._ask("compile_seconds", seconds, "E0507", f"compiling took {seconds:.0f} s")

    def check_code(self, nbytes: int) -> None:
        """Whether a model may have that much machine code."""
        self._ask("code_bytes", nbytes, "E0512", f"the model's kernels have {nbytes} bytes of code")

    def check_run_seconds(self, seconds: float) -> None:
        """Whether a run may have taken that long."""
        self._ask("run_seconds", seconds, "E0507", f"the run took {seconds:.3g} s")

    def check_trips(self, trips: int, node: str | None = None) -> None:
        """Whether a Loop or Scan may run that many trips."""
        self._ask("trips", trips, "E0508", f"the loop runs {trips} trips or more", node=node)

    def memory_allowed(self) -> int:
        """Bytes that a run may need at its peak on this machine."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return int(machine_memory() * self.memory_share)

    def _ask(
        self,
        name: str,
        asked: float,
        code: str,
        said: str,
        *,
        file: str | None = None,
        node: str | None = None,
        tensor: str | None = None,
    ) -> None:
        limit = getattr(self, name)
        if limit is not None and asked > limit:
            raise self._exceeded(name, limit, code, said, file=file, node=node, tensor=tensor)

    def _exceeded(
        self,
        name: str,
        limit: float,
        code: str,
        said: str,
        *,
        file: str | None = None,
        node: str | None = None,
        tensor: str | None = None,
    ) -> LimitExceeded:
        return LimitExceeded(
            code,
            f"{said}, the limit `{name}` is {limit}",
            file=file,
            node=node,
            tensor=tensor,
            wanted=f"{name} ≤ {limit}",
            hint=f"if you trust the model, raise it: SARDONYX_LIMITS={name}=…",
        )


_ruling: contextvars.ContextVar[Limits | None] = contextvars.ContextVar(
    "sardonyx.limits", default=None
)


_compiling: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "sardonyx.compiling", default=None
)


def still_compiling() -> None:
    """LimitExceeded (E0507) where compiling takes too long; asked before every large step of it."""
    began = _compiling.get()
    if began is not None:
        Limits.current().check_compile_seconds(time.monotonic() - began)


@functools.cache
def machine_memory() -> int:
    """Bytes of memory of this machine, or of its control group where that is less; read once."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUPS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            total = min(total, int(text))
    return total
