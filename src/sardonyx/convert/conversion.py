"""The result of a conversion: the model, and the evidence that it says the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sardonyx.compare.comparison import Comparison
from sardonyx.convert.contract import KEY, Contract, contract_of
from sardonyx.convert.review import operators
from sardonyx.convert.source import Remark
from sardonyx.core.escape import sanitise
from sardonyx.graph.ir import Graph


@dataclass(frozen=True)
class Accuracy:
    """Errors of one output against the source in float64, over the largest value: of the ONNX
    model run here (`ours`), and of the source run in its own precision (`theirs`).
    """

    output: str
    ours: float
    theirs: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Conversion:
    """The converted `graph`, the file it was written to (empty when none was asked for), what
    framework it came from, and the comparison with it. `accuracy` is empty where the source
    cannot be run in float64. `remarks` are what a reader of the model should know of its export;
    `external` says where weights go when it is saved, as in `formats.save`.
    """

    graph: Graph
    path: str
    framework: str
    comparison: Comparison
    accuracy: tuple[Accuracy, ...] = ()
    remarks: tuple[Remark, ...] = ()
    external: bool | None = None

    @property
    def agree(self) -> bool:
        """Whether the model agrees with its source."""
        return self.comparison.agree

    @property
    def contract(self) -> Contract | None:
        """The evidence that the model carries, if it does."""
        return contract_of(self.graph) if KEY in self.graph.meta else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        contract = self.contract
        return {
            "output": self.path,
            "framework": self.framework,
            "inputs": [{"name": v.name, "type": str(v.type)} for v in self.graph.inputs],
            "outputs": [{"name": v.name, "type": str(v.type)} for v in self.graph.outputs],
            "nodes": len(self.graph),
            "operators": operators(self.graph),
            "opsets": dict(self.graph.opsets),
            "comparison": self.comparison.to_dict(),
            "accuracy": [a.to_dict() for a in self.accuracy],
            "contract": None if contract is None else contract.to_dict(),
            "remarks": [r.to_dict() for r in self.remarks],
        }

    def lines(self) -> Iterator[str]:
        """Inputs, outputs and errors, in words."""
        for kind, values in (("input", self.graph.inputs), ("output", self.graph.outputs)):
            for v in values:
                if v.const is None:
                    yield f"{kind:7} {sanitise(v.name)}: {v.type}"
        counts = operators(self.graph).items()
        yield "operators " + ", ".join(f"{name} {n}" for name, n in counts)
        for a in self.accuracy:
            yield (
                f"error of `{sanitise(a.output)}` against float64: {a.ours:.1e} here, "
                f"{a.theirs:.1e} in {self.framework}"
            )

        if self.contract is not None:
            size, runs = len(self.graph.meta[KEY]), len(self.contract.goldens)
            yield f"contract: {runs} runs, {size / 1024:.1f} KiB of the model's metadata"
        for r in self.remarks:
            yield f"{r.kind}: {sanitise(r.text)}"
            if r.source:
                yield f"  at {sanitise(r.source)}"
            if r.remedy:
                yield f"  help: {sanitise(r.remedy)}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What `sardonyx convert` prints."""
        del console, options
        yield self.comparison
        for line in self.lines():
            yield Text(line)
