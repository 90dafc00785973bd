"""The evidence of a conversion, in the model's metadata: what its source answered, and how near to
that a faithful model stays. It can be replayed on any machine, by any provider.

    Contract   framework, versions, tolerance, worst figures, machine, date, digest, goldens
    Golden     inputs (how they are made up, or small arrays) and outputs (arrays, or samples)
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sardonyx.bench.machine import describe
from sardonyx.compare.comparison import Comparison, Judgement
from sardonyx.compare.metrics import Tally
from sardonyx.compare.sides import DEFAULT, flat, of_model
from sardonyx.compare.tolerance import Tolerance
from sardonyx.convert.recipe import Recipe, array_read, array_told, positions
from sardonyx.convert.source import Outputs, Source, Trial
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument, RuntimeException, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.graph.ir import Graph

KEY = "sardonyx.contract"
SCHEMA = 1
MOST_BYTES = 64 << 10
MOST_RUNS = 8
_LARGEST_INPUT = 4 << 10


@dataclass(frozen=True)
class Sampled:
    """Elements of an array of `shape` at `positions(size, count)`, and that of the largest."""

    shape: tuple[int, ...]
    top: int
    elements: Array

    @classmethod
    def of(cls, x: Array, count: int) -> Sampled:
        """At most `count` elements."""
        row = x.reshape(-1)
        numeric = x.dtype.kind not in "OUST" and x.size
        top = int(np.argmax(np.nan_to_num(np.abs(row.astype(np.complex128))))) if numeric else 0
        return cls(x.shape, top, row[_places(x.size, count, top)])

    def pick(self, x: Array) -> Array:
        """The elements of another array at the same positions; all of one of another shape."""
        if x.shape != self.shape:
            return x
        return np.asarray(x.reshape(-1)[_places(x.size, len(self.elements), self.top)])


def _places(size: int, count: int, top: int) -> Array:
    if count >= size:
        return np.arange(size)
    found = positions(size, count)
    found[0] = top
    return found


@dataclass(frozen=True)
class Golden:
    """One run: its name, its inputs, and what the source answered."""

    name: str
    trial: Trial
    outputs: Mapping[str, Sampled]


@dataclass(frozen=True)
class Contract:
    """What a converted model promised. `digest` is that of the model when it was converted,
    `figures` are the worst of each output against the source.
    """

    framework: str
    versions: Mapping[str, str]
    tolerance: Tolerance
    figures: Mapping[str, float]
    cpu: str
    date: str
    digest: str
    goldens: tuple[Golden, ...]

    def text(self) -> str:
        """As it stands in the metadata."""
        told = {
            "schema": SCHEMA,
            "framework": self.framework,
            "versions": dict(self.versions),
            "tolerance": asdict(self.tolerance),
            "figures": dict(self.figures),
            "cpu": self.cpu,
            "date": self.date,
            "digest": self.digest,
            "runs": [_golden_told(g) for g in self.goldens],
        }
        return json.dumps(told, separators=(",", ":"), ensure_ascii=True)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data, without the arrays."""
        return {
            "framework": self.framework,
            "versions": dict(self.versions),
            "tolerance": asdict(self.tolerance),
            "figures": dict(self.figures),
            "cpu": self.cpu,
            "date": self.date,
            "digest": self.digest,
            "runs": [g.name for g in self.goldens],
            "bytes": len(self.text()),
        }


def _golden_told(golden: Golden) -> dict[str, Any]:
    inputs = {
        n: x.to_dict() if isinstance(x, Recipe) else array_told(np.asarray(x))
        for n, x in golden.trial.inputs.items()
    }
    outputs = {
        n: {**array_told(s.elements), "of": list(s.shape), "top": s.top}
        for n, s in golden.outputs.items()
    }
    return {"at": golden.name, "inputs": inputs, "outputs": outputs}


def _input_read(told: dict[str, Any]) -> Array | Recipe:
    return Recipe.from_dict(told) if "kind" in told else array_read(told)


def contract_of(graph: Graph, limits: Limits | None = None) -> Contract:
    """The contract that a model carries; InvalidArgument (E0613) where it has none, or one that
    cannot be read.
    """
    if KEY not in graph.meta:
        raise InvalidArgument(
            "E0613", "the model carries no contract", hint="sardonyx convert writes one"
        )
    try:
        return _read(json.loads(graph.meta[KEY]), limits or Limits.current())
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as problem:
        said = f"the contract cannot be read: {type(problem).__name__}: {problem}"
        raise InvalidArgument("E0613", said) from problem


def _read(told: Mapping[str, Any], limits: Limits) -> Contract:
    if told["schema"] != SCHEMA:
        raise ValueError(f"its schema is {told['schema']}, known is {SCHEMA}")
    goldens = []
    for run in told["runs"][:MOST_RUNS]:
        inputs = {str(n): _input_read(x) for n, x in run["inputs"].items()}
        for x in inputs.values():
            limits.check_tensor(x.dtype if isinstance(x, Recipe) else DType.FLOAT32, x.shape)
        outputs = {
            str(n): Sampled(tuple(int(d) for d in x["of"]), int(x["top"]), array_read(x))
            for n, x in run["outputs"].items()
        }
        goldens.append(Golden(str(run["at"]), Trial(str(run["at"]), inputs), outputs))
    return Contract(
        str(told["framework"]),
        {str(k): str(v) for k, v in told["versions"].items()},
        Tolerance(**told["tolerance"]),
        {str(k): float(v) for k, v in told["figures"].items()},
        str(told["cpu"]),
        str(told["date"]),
        str(told["digest"]),
        tuple(goldens),
    )


def made(source: Source, graph: Graph, trials: Iterable[Trial], found: Comparison) -> Contract:
    """The contract of a conversion that agrees: what `source` answers to some of the trials."""
    kept = [t for t in trials if _is_small(t)][:MOST_RUNS]
    share = MOST_BYTES // (2 * max(1, len(kept)) * max(1, len(graph.outputs)))
    goldens = tuple(_goldens(source, graph, kept, share))
    worst = {v.name: found.worst(v.name) for v in graph.outputs}
    return Contract(
        source.framework,
        source.provenance(),
        found.tolerance,
        {name: d.max_rel for name, d in worst.items() if d is not None},
        describe()["processor"],
        datetime.now(UTC).isoformat(timespec="seconds"),
        digest(graph),
        goldens,
    )


def _is_small(trial: Trial) -> bool:
    stored = [x for x in trial.inputs.values() if not isinstance(x, Recipe)]
    return sum(x.nbytes for x in stored) <= _LARGEST_INPUT


def _goldens(source: Source, graph: Graph, trials: Sequence[Trial], share: int) -> Iterator[Golden]:
    for trial in trials:
        try:
            answers = source.run(trial.feeds)
        except RuntimeException:
            continue
        found = named(answers, graph)
        sampled = {}
        for name, x in found.items():
            array = np.asarray(x)
            sampled[name] = Sampled.of(array, max(16, share // max(1, array.itemsize)))
        yield Golden(trial.name, trial, sampled)


def named(outputs: Outputs, graph: Graph) -> dict[str, Any]:
    """The tensors of a source's outputs by the names of the graph's, which stand in that order."""
    names = [v.name for v in graph.outputs]
    values = list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)
    if isinstance(outputs, Mapping) and set(outputs) == set(names):
        return flat(outputs)
    return flat(dict(zip(names, values, strict=True)))


def digest(graph: Graph) -> str:
    """SHA-256 over nodes, attributes' texts, and the bytes of every initializer."""
    found = hashlib.sha256()
    for node in graph.nodes:
        names = [v.name if v is not None else "" for v in (*node.inputs, *node.outputs)]
        found.update(f"{node.op.domain}:{node.op.op_type}{names}".encode())
    for name, v in sorted(graph.initializers.items()):
        found.update(f"{name}:{v.type}".encode())
        if v.const is not None:
            found.update(np.ascontiguousarray(v.const.numpy()).tobytes())
    return found.hexdigest()


def replay(
    graph: Graph, provider: str = DEFAULT, threads: int = 0, limits: Limits | None = None
) -> Comparison:
    """What a model answers here to the inputs of its contract, against what its source answered.

    InvalidArgument (E0613) without a contract that can be read; what loading raises.
    """
    contract = contract_of(graph, limits)
    side = of_model(graph, provider, threads, limits)
    rows = [
        Judgement(golden.name, 1, one.difference(), contract.tolerance.refusal(one.difference()))
        for golden in contract.goldens
        for one in _answers(golden, side.run)
    ]
    notes = [] if digest(graph) == contract.digest else ["the model was changed since"]
    told = f"{contract.framework} on {contract.cpu}, {contract.date}"
    return Comparison(
        told, f"{side.label} by {provider}", contract.tolerance, tuple(rows), tuple(notes)
    )


def _answers(golden: Golden, run: Any) -> Iterator[Tally]:
    try:
        found = flat(run(golden.trial.feeds))
    except SardonyxError as error:
        tally = Tally("all")
        tally.reason = f"refused: {error.message}"
        yield tally
        return
    for name, wanted in golden.outputs.items():
        tally = Tally(name)
        if name in found:
            tally.add(wanted.elements, wanted.pick(np.asarray(found[name])))
        else:
            tally.reason = "the model has no such output"
        yield tally
