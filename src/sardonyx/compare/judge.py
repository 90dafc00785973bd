"""`compare`: both sides on the same inputs, the figures of every output, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sardonyx.compare.comparison import Comparison, Judgement
from sardonyx.compare.data import Case, Rows, read, sampled
from sardonyx.compare.diverge import first_divergence, parted
from sardonyx.compare.metrics import Tally
from sardonyx.compare.sides import DEFAULT, Outputs, Side, of_model, paired
from sardonyx.compare.tolerance import Tolerance, fitting
from sardonyx.compare.tolerance import tolerance as named
from sardonyx.compare.why import reasons
from sardonyx.core.errors import (
    InvalidArgument,
    InvalidGraph,
    RuntimeException,
    SardonyxError,
    ShapeMismatch,
)
from sardonyx.core.limits import Limits
from sardonyx.providers.registry import caveats

Progress = Callable[[float], None]
_SIZE_ERRORS = (ShapeMismatch, RuntimeException, InvalidGraph)


def compare(
    a: Any,
    b: Any = None,
    *,
    provider: str = DEFAULT,
    against_provider: str | None = None,
    data: Any = None,
    dims: Mapping[str, int] | None = None,
    batches: Sequence[int] = (),
    tolerance: str | float | Tolerance | None = None,
    seed: int = 0,
    threads: int = 0,
    trace: bool = True,
    limits: Limits | None = None,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Whether `b` says the same as `a`, output by output.

    A side is a model (anything that `load` accepts), run by `provider` (`against_provider` for
    `b`), or a `Side`. Without `b`, the same model is run by both providers. `data` are rows by
    input name, as a mapping or a .npz, .npy or .json file (or a list of `Case`s); they are cut into
    batches of 1, of 7 and of all rows, or of the sizes in `batches`, where the model's batch dim is
    symbolic. Without `data` inputs are made up from `seed`, at three sizes of each symbol that
    `dims` leaves open. `tolerance` names or bounds what is allowed, which otherwise follows from
    the models. With `trace`, models that disagree are run again with their intermediate values
    kept, to name the first one that differs. Raises what loading and running raises, and
    InvalidArgument (E0760 to E0766).
    """
    judge = None if tolerance is None else named(tolerance)
    other = against_provider or provider
    if b is None and other == provider:
        raise InvalidArgument(
            "E0765",
            "there is nothing to compare with",
            hint="name a second model, or another provider with --against-provider",
        )
    left = _side(a, provider, threads, limits)
    right = _side(a if b is None else b, other, threads, limits)
    left, right = _told_apart(left, right)
    found = Findings(left, right, notes=[*_caveats(left), *_caveats(right)])
    found.run(_cases(left, right, data, dims or {}, batches, seed), progress)
    judge = judge or _fitting(left, right, found)
    rows = [
        Judgement(group, found.runs[group], tally.difference(), judge.refusal(tally.difference()))
        for (group, _), tally in found.tallies.items()
    ]
    made = Comparison(left.label, right.label, judge, tuple(rows), tuple(found.notes))
    if made.agree or not trace:
        return made
    return _traced(made, left, right, found)


def _side(one: Any, provider: str, threads: int, limits: Limits | None) -> Side:
    return one if isinstance(one, Side) else of_model(one, provider, threads, limits)


def _caveats(side: Side) -> list[str]:
    said = [] if side.graph is None else caveats(side.provider, side.graph)
    return [f"{side.label}: {text}" for text in said]


def _told_apart(a: Side, b: Side) -> tuple[Side, Side]:
    if a.label != b.label:
        return a, b
    names = [f"{s.label} ({s.provider or n})" for s, n in ((a, "first"), (b, "second"))]
    if names[0] == names[1]:
        names = [f"{a.label} (first)", f"{b.label} (second)"]
    pairs = zip((a, b), names, strict=True)
    left, right = (Side(name, s.run, s.inputs, s.graph, s.provider, s.threads) for s, name in pairs)
    return left, right


def _fitting(left: Side, right: Side, found: Findings) -> Tolerance:
    graphs = [(s.label, s.graph) for s in (left, right) if s.graph is not None]
    return fitting(graphs, [tally.difference() for tally in found.tallies.values()])


def _cases(
    left: Side, right: Side, data: Any, dims: Mapping[str, int], batches: Sequence[int], seed: int
) -> tuple[int, Iterable[Case]]:
    graph = left.graph or right.graph
    if isinstance(data, list) and data and isinstance(data[0], Case):
        return len(data), data
    if data is not None:
        rows = Rows(read(data, graph), graph, batches)
        return len(rows), rows.cases()
    if graph is None:
        raise InvalidArgument("E0766", "without a model among the sides, data are needed")
    made = sampled(graph, dims, seed)
    return len(made), made


@dataclass
class Findings:
    """What the runs so far have shown: tallies by (group, output), runs by group, the first case
    of each group, and notes: what providers warn of, and sizes that the first side refuses.
    """

    left: Side
    right: Side
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    first: dict[str, Case] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def run(self, cases: tuple[int, Iterable[Case]], progress: Progress) -> None:
        """Runs both sides on every case; the last refusal is raised when no case ran."""
        count, each = cases
        refusal: SardonyxError | None = None
        for done, case in enumerate(each):
            try:
                wanted = self.left.feed(case.feeds)
            except _SIZE_ERRORS as error:
                if not case.made_up:
                    raise
                refusal = error
                self.notes.append(f"{case.group} left out: {self.left.label}: {error.message}")
                continue
            self._answer(case, wanted)
            progress((done + 1) / max(count, 1))
        if refusal is not None and not self.runs:
            raise refusal

    def _answer(self, case: Case, wanted: Outputs) -> None:
        try:
            self.add(case, wanted, self.right.feed(case.feeds))
        except _SIZE_ERRORS as error:
            if not case.made_up:
                raise
            self.runs[case.group] = self.runs.get(case.group, 0) + 1
            self.first.setdefault(case.group, case)
            tally = self.tallies.setdefault((case.group, "all"), Tally("all"))
            tally.reason = f"{self.right.label} refuses this size: {error.message}"

    def add(self, case: Case, wanted: Outputs, given: Outputs) -> None:
        """Counts the outputs of one case."""
        self.runs[case.group] = self.runs.get(case.group, 0) + 1
        self.first.setdefault(case.group, case)
        for name, x, y in paired(wanted, given):
            tally = self.tallies.setdefault((case.group, name), Tally(name))
            if x is None or y is None:
                tally.reason = tally.reason or ("" if x is y else "absent on one side")
                continue
            tally.add(x, y)


def _traced(made: Comparison, left: Side, right: Side, found: Findings) -> Comparison:
    group = next(row.at for row in made.rows if row.refusal)
    divergence, note = first_divergence(left, right, found.first[group], made.tolerance)
    node = "" if divergence is None else divergence.node
    cases = list(found.first.values())
    why, late = reasons(left, right, cases, made.tolerance, node)
    notes = (*made.notes, *(text for text in (note, late) if text))
    if not why and divergence is not None:
        sides = parted(left, right, divergence.value)
        why, _ = reasons(*sides, cases, made.tolerance, node, at=divergence.value)
    return replace(made, notes=notes, divergence=divergence, reasons=why)
