"""`convert`: export, check, compare with the source, and only then write."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sardonyx.compare.comparison import Comparison
from sardonyx.compare.data import Case, Rows, read
from sardonyx.compare.judge import compare
from sardonyx.compare.metrics import Tally
from sardonyx.compare.sides import DEFAULT, Side, of_model, paired
from sardonyx.convert.bound import judged
from sardonyx.convert.contract import KEY
from sardonyx.convert.contract import made as contracted
from sardonyx.convert.conversion import Accuracy, Conversion
from sardonyx.convert.exported import checked
from sardonyx.convert.inputs import asked, settled, several, spelled
from sardonyx.convert.recognise import source_of
from sardonyx.convert.review import review
from sardonyx.convert.source import Controls, Exported, Outputs, Remark, Request, Source, Trial
from sardonyx.core.errors import Disagreement
from sardonyx.core.limits import Limits
from sardonyx.formats import save
from sardonyx.formats.arrays import read_arrays
from sardonyx.graph.ir import Graph

Progress = Callable[[float], None]


def convert(
    source: Any,
    inputs: Any = None,
    output: str | os.PathLike[str] | None = None,
    *,
    dynamic: Mapping[str, str] | None = None,
    dims: Mapping[str, int | range] | None = None,
    data: Any = None,
    tolerance: str | float | None = None,
    keep: bool = False,
    contract: bool = True,
    trust: bool = False,
    in_process: bool = False,
    told: Callable[[str], None] = lambda _: None,
    seed: int = 0,
    limits: Limits | None = None,
    progress: Progress = lambda _: None,
    controls: Controls | None = None,
    **named: Any,
) -> Conversion:
    """An ONNX model that agrees with the trained model it was made from.

    `source` is a model of a framework, the path of a file of one, or a place such as `net.py:build`
    (which runs that file). `inputs` are shapes such as `x=Nx3x224x224` or `ids=NxS:int64`, where a
    name instead of a number is a dim that may have any size; or example inputs: a tuple of
    positional arguments or a mapping of keyword arguments, whose open dims `dynamic` names
    (`{"x": "Nx3x224x224"}`). Models that know their inputs need neither. `dims` gives example sizes
    for symbols, or the range that they may have. A file that runs code when it is loaded must be
    one that you `trust`. Frameworks that conflict with others run in an interpreter of their own,
    made when first needed (`told` hears of it), unless `in_process`. `controls` (or its fields by
    name: opset=18) say how to export.

    The export is checked, then run beside the source on made-up inputs at several sizes of every
    symbol, on extreme ones, on those that the source names, and on the rows of `data` (see
    `compare`), and written to `output` only when they agree, or with `keep`. Raises ConvertError
    (E0601 to E0612); Disagreement (E0605), whose `report` is the comparison, where they do not
    agree; UsageError for shapes that cannot be read. Unless without `contract`, the model carries
    its evidence in its metadata, see `convert.contract`.
    """
    given = replace(controls or Controls(), **named)
    request = replace(asked(inputs, dynamic, dims or {}), controls=given, data=_rows(data))
    made = source_of(source, request, trust=trust, in_process=in_process, told=told)
    with (
        contextlib.closing(made),
        tempfile.TemporaryDirectory(prefix="sardonyx-convert-") as folder,
    ):
        sizes, _ = settled(made, request.sizes)
        exported = made.export(Path(folder), sizes)
        progress(0.5)
        graph = checked(made, exported, given, limits)
        record = _Evidence(made, graph, list(_trials(made, request, sizes, seed)), limits)
        found = record.compare(request, tolerance, lambda share: progress(0.6 + 0.4 * share))
        done = record.concluded(found, exported, request, _largest(sizes, request))
        if not done.agree and not keep:
            raise _disagreement(done.comparison, made, exported)
        if contract and done.agree:
            graph.meta[KEY] = contracted(made, graph, record.trials, done.comparison).text()
        if output is not None:
            save(graph, output, external_data=done.external)
    return replace(done, path=os.fspath(output or ""))


def side_of(source: Any, label: str = "") -> Side:
    """A trained model (or its place) as a side of a comparison; inputs are taken by position."""
    made = source_of(source, Request())
    return Side(label or (source if isinstance(source, str) else made.framework), made.run)


def _rows(data: Any) -> Any:
    if isinstance(data, str | os.PathLike):
        return read_arrays(Path(data))
    return data


def _trials(made: Source, request: Request, sizes: Mapping[str, int], seed: int) -> Iterator[Trial]:
    yield from _sampled(made, request, sizes, seed)
    yield from _extremes(made, sizes)
    yield from made.trials()


def _largest(sizes: Mapping[str, int], request: Request) -> dict[str, int]:
    """Of each symbol, the largest of the sizes compared."""
    tried = list(several(sizes, request.sizes))
    return {name: max(one[name] for one in tried) for name in sizes}


def _sampled(
    made: Source, request: Request, sizes: Mapping[str, int], seed: int
) -> Iterator[Trial]:
    for n, one in enumerate(several(sizes, request.sizes)):
        yield Trial(spelled(one), made.sample(one, seed + n))


def _extremes(made: Source, sizes: Mapping[str, int]) -> Iterator[Trial]:
    """Numbers a thousand times as small, and a hundred times as large, in place of all floats."""
    base = made.recipes(sizes, 0)
    free = {n for n, r in base.items() if r.kind == "normal"}
    for kind in ("small", "large") if free else ():
        changed = {n: replace(base[n], kind=kind) for n in free}
        yield Trial(f"{kind}: {spelled(sizes)}", {**made.sample(sizes, 0), **changed})


class _Evidence:
    """Both sides of a conversion's comparison; remembers the outputs to judge them afterwards."""

    def __init__(
        self, made: Source, graph: Graph, trials: list[Trial], limits: Limits | None
    ) -> None:
        native = of_model(graph, DEFAULT, limits=limits, label="the ONNX model")
        self.made, self.graph, self.trials, self._limits = made, graph, trials, limits
        self._run = native
        self._last: tuple[Mapping[str, Any], Outputs] | None = None
        self._tallies: dict[str, tuple[Tally, Tally]] = {}
        self._exact = True
        self.theirs = Side(made.framework, self._source)
        self.ours = Side(native.label, self._native, native.inputs, native.graph, DEFAULT)

    def compare(
        self, request: Request, tolerance: str | float | None, progress: Progress
    ) -> Comparison:
        """Both sides on every trial, or on the rows that were given."""
        cases = [Case(t.name, t.feeds, t.made_up) for t in self.trials]
        graph = self.graph
        if request.data is not None:
            cases = list(Rows(read(request.data, graph), graph).cases())
        settings: dict[str, Any] = {"tolerance": tolerance, "trace": False, "limits": self._limits}
        return compare(self.theirs, self.ours, data=cases, progress=progress, **settings)

    def concluded(
        self, found: Comparison, exported: Exported, request: Request, sizes: Mapping[str, int]
    ) -> Conversion:
        """The comparison judged, with what the export and its review say; not yet written."""
        graph = self.graph
        accuracy = tuple(self.accuracy())
        remarks = (*exported.remarks, *review(graph, exported.fixed), *self.made.prove(graph))
        kept = request.controls.parameters
        return Conversion(
            graph,
            "",
            self.made.framework,
            judged(found, graph, sizes, accuracy),
            accuracy,
            remarks,
            None if kept is None else kept == "outside",
        )

    def _source(self, feeds: Mapping[str, Any]) -> Outputs:
        found = self.made.run(feeds)
        self._last = feeds, found
        return found

    def _native(self, feeds: Mapping[str, Any]) -> Outputs:
        found = self._run.run(feeds)
        exact = None
        if self._last is not None and self._exact:
            exact = self.made.exact(self._last[0])
        self._exact = exact is not None
        if exact is not None and self._last is not None:
            self._add(exact, found, self._last[1])
        return found

    def _add(self, exact: Outputs, ours: Outputs, theirs: Outputs) -> None:
        rows = zip(paired(exact, ours), paired(exact, theirs), strict=True)
        for (name, wanted, mine), (_, _, other) in rows:
            pair = self._tallies.setdefault(name, (Tally(name), Tally(name)))
            pair[0].add(wanted, mine)
            pair[1].add(wanted, other)

    def accuracy(self) -> Iterator[Accuracy]:
        """The errors of both sides against float64, of each output of floats."""
        for name, (ours, theirs) in self._tallies.items():
            mine, other = ours.difference(), theirs.difference()
            if self._exact and mine.is_float and not mine.reason:
                yield Accuracy(name, mine.max_rel, other.max_rel)


def _disagreement(found: Comparison, made: Source, exported: Exported) -> Disagreement:
    axes = {(i.name, n) for i in made.inputs for n, d in enumerate(i.dims) if isinstance(d, str)}
    paths = [f.source for f in exported.fixed if f.axes & axes]
    row = next(row for row in found.rows if row.refusal)
    said = f"the exported model does not agree with {made.framework}"
    hint, source = "--keep writes it all the same", None
    cause = _cause(exported.remarks)
    if cause is not None:
        source, hint = cause.source, f"{cause.text}; {cause.remedy}; {hint}"
    elif paths:
        source = paths[-1]
        hint = "the export followed the path that its example took through this line; " + hint
    error = Disagreement(
        "E0605",
        f"{said}: at {row.at}, output `{row.difference.name}` {row.refusal}",
        tensor=row.difference.name,
        wanted=str(found.tolerance),
        source=source,
        hint=hint,
    )
    error.report = found
    return error


def _cause(remarks: Sequence[Remark]) -> Remark | None:
    """What an export said of itself that makes a model answer otherwise."""
    telling = ("state", "frozen branch", "unrolled loop", "baked value", "baked shape")
    return next((r for kind in telling for r in remarks if r.kind == kind), None)
