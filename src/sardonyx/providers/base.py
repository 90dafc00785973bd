"""What a provider is: it makes graphs ready to run, and says which nodes it does not run itself.

    class MyProvider(Provider):
        name = "MyExecutionProvider"
        def prepare(self, graph, options): return a Runnable

A package of its own registers one by the entry-point group `sardonyx.providers`.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from sardonyx.core.dtype import Array
from sardonyx.core.limits import Limits
from sardonyx.graph.ir import Graph

Abort = Callable[[], bool]


@dataclass(frozen=True)
class Gap:
    """A node that the provider does not run itself: its name, op, and why."""

    node: str
    op: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """As JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Options:
    """How a model is to be prepared.

    `threads` per run; `optimize` is off, basic, extended or all; `model` is the unoptimised model
    for peers that read files: a path or serialized bytes; `extra` are the provider's own. With
    `flush` a provider that can takes subnormal floats as zero.
    """

    threads: int = 1
    optimize: str = "all"
    limits: Limits = field(default_factory=Limits.current)
    model: str | bytes | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    flush: bool = False


@dataclass(frozen=True)
class Step:
    """What one step of a run is: the names of its nodes, their operators, and how it is done."""

    nodes: tuple[str, ...]
    op: str
    kind: str


Watch = Callable[[Step, int, int], None]


class Runnable:
    """A prepared model; `run` may be called from several threads.

    `gaps` are the nodes that the provider does not run itself.
    """

    gaps: Sequence[Gap] = ()

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order, for checked feeds by name."""
        raise NotImplementedError

    def watched(self, feeds: Mapping[str, Array], watch: Watch) -> list[Any]:
        """Like `run`; `watch` is told each step with its start and end, in monotonic ns."""
        start = time.monotonic_ns()
        found = self.run(feeds)
        watch(Step((), "Model", "whole"), start, time.monotonic_ns())
        return found

    def quick(self, feeds: Mapping[str, Any]) -> list[Any] | None:
        """The same for feeds nobody checked, where that is safe and fast; else None."""
        del feeds
        return None


class Provider:
    """One way to run models. `name` is what sessions ask for, `aliases` are shorter names.

    A provider with `reads_graph` False wants `Options.model`: the file or the bytes of the model.
    `package` is what must be installed, by an extra of that name.
    """

    name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    reads_graph: ClassVar[bool] = True
    package: ClassVar[str] = ""

    def missing(self) -> str | None:
        """What has to be done before it can be used ("pip install ..."), None when it can."""
        if not self.package or importlib.util.find_spec(self.package):
            return None
        return f"pip install 'sardonyx[{self.package}]'"

    def caveats(self, graph: Graph | None = None) -> list[str]:
        """What the results of a graph (None: of any) are not on this machine, a sentence each."""
        del graph
        return []

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """The graph made ready to run."""
        raise NotImplementedError
