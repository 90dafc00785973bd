"""What both sides are run on: the rows of a file in several batch sizes, or made-up inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, name_of
from sardonyx.formats.arrays import read_arrays, typed
from sardonyx.graph.ir import Graph
from sardonyx.graph.sample import free_symbols, sample_feeds

BATCHES = (1, 7)
MOST_RUNS = 1000
MOST_BYTES = 64 << 20
PRIMES = (2, 3, 5, 7, 11, 13)


@dataclass(frozen=True)
class Case:
    """One run: the `group` it is counted in, its inputs, and whether they were made up."""

    group: str
    feeds: Mapping[str, Any]
    made_up: bool = False


def sampled(graph: Graph, dims: Mapping[str, int], seed: int) -> list[Case]:
    """Made-up inputs at three sizes of every symbol that `dims` leaves open: 1, and two primes."""
    names = [n for n in free_symbols(graph) if n not in dims]
    count = len(names)
    sizes: list[dict[str, int]] = [dict.fromkeys(names, 1)]
    if names:
        sizes.append({n: PRIMES[i % len(PRIMES)] for i, n in enumerate(names)})
        sizes.append({n: PRIMES[(i + count + 2) % len(PRIMES)] for i, n in enumerate(names)})
    cases = []
    for k, one in enumerate(sizes):
        known = {**dims, **one}
        feeds = sample_feeds(graph, known, seed + k)
        cases.append(Case(_told(known) or "as declared", feeds, made_up=True))
    return cases


def _told(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def read(source: Any, graph: Graph | None) -> dict[str, Array]:
    """Arrays by input name: a mapping, a file of them, or the array of the only input."""
    wanted = [] if graph is None else [v for v in graph.inputs if v.const is None]
    if isinstance(source, str | os.PathLike):
        found = read_arrays(Path(source))
    elif isinstance(source, Mapping):
        found = {name: np.asarray(x) for name, x in source.items()}
    else:
        found = {"": np.asarray(source)}
    if len(found) == 1 and len(wanted) == 1:
        found = {wanted[0].name: next(iter(found.values()))}
    kinds = {v.name: v.dtype for v in wanted}
    missing = [name for name in kinds if name not in found]
    if missing:
        raise InvalidArgument(
            "E0763",
            f"the data have no array for the input `{missing[0]}`",
            tensor=missing[0],
            given=", ".join(found),
            wanted=", ".join(kinds),
        )
    names = kinds or found
    return {name: typed(found[name], kinds.get(name)) for name in names}


class Rows:
    """Arrays cut along the batch dim of the model, in batches of several sizes.

    Inputs whose first dim is the batch symbol of the first input are cut; the others are fed whole.
    Where the model has no batch symbol, arrays that hold a multiple of its fixed size are cut into
    that size.
    """

    def __init__(
        self, arrays: Mapping[str, Array], graph: Graph | None, batches: Sequence[int] = ()
    ) -> None:
        self.arrays = dict(arrays)
        self.cut = batched(arrays, graph)
        self.rows = min((len(arrays[n]) for n in self.cut), default=1)
        self.sizes = self._sizes(_fixed(graph, self.cut), batches)

    def _sizes(self, fixed: int | None, batches: Sequence[int]) -> list[int]:
        if not self.cut or not self.rows:
            return [max(self.rows, 1)]
        if fixed is not None:
            return [fixed]
        per_row = sum(self.arrays[n].nbytes // self.rows for n in self.cut)
        whole = max(1, min(self.rows, MOST_BYTES // max(per_row, 1)))
        wanted = batches or [*(b for b in BATCHES if b < whole), whole]
        return sorted({min(b, self.rows) for b in wanted})

    def __len__(self) -> int:
        return sum(min(-(-self.rows // size), MOST_RUNS) for size in self.sizes)

    def cases(self) -> Iterator[Case]:
        """Every batch of every size; at most a thousand of one size."""
        for size in self.sizes:
            group = f"batch {size}" if self.cut else "as given"
            for start in range(0, max(self.rows, 1), size)[:MOST_RUNS]:
                stop = min(start + size, self.rows)
                feeds = {n: x[start:stop] if n in self.cut else x for n, x in self.arrays.items()}
                yield Case(group, feeds)


def batched(arrays: Mapping[str, Array], graph: Graph | None) -> list[str]:
    """The inputs whose first axis counts rows."""
    if graph is None:
        lengths = {len(x) if x.ndim else -1 for x in arrays.values()}
        return list(arrays) if len(lengths) == 1 and lengths != {-1} else []
    firsts = {v.name: v.shape[0] for v in graph.inputs if v.name in arrays and v.shape}
    lead = next(iter(firsts.values()), None)
    if lead is None or lead in _inner(graph):
        return []
    cut = [n for n, dim in firsts.items() if dim is lead]
    lengths = {len(arrays[n]) for n in cut}
    if lead.op != "var":
        return cut if _divides(lead, lengths) else []
    if len(lengths) > 1:
        raise InvalidArgument(
            "E0764",
            f"the arrays have different numbers of rows for `{name_of(lead)}`",
            given=sorted(lengths),
        )
    return cut


def _inner(graph: Graph) -> set[Expr]:
    """The symbols that also count something else than rows."""
    found: set[Expr] = set()
    for v in graph.inputs:
        for dim in (v.shape or ())[1:]:
            if dim.op != "const":
                found |= dim.free
    return found


def _divides(lead: Expr, lengths: set[int]) -> bool:
    size = int(lead.arg) if lead.is_const else 0
    return size > 0 and len(lengths) == 1 and min(lengths) % size == 0


def _fixed(graph: Graph | None, cut: Sequence[str]) -> int | None:
    """The batch size of a model that takes one size only."""
    if graph is None:
        return None
    for v in graph.inputs:
        if v.name in cut and v.shape and v.shape[0].is_const:
            return int(v.shape[0].arg)
    return None
