"""`convert`: export, check, compare with the source, and only then write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sardonyx.compare.comparison import Comparison
from sardonyx.compare.data import Case, Rows, read
from sardonyx.compare.judge import compare
from sardonyx.compare.metrics import Tally
from sardonyx.compare.sides import DEFAULT, Outputs, Side, of_model, paired
from sardonyx.convert.conversion import Accuracy, Conversion
from sardonyx.convert.guards import Guards
from sardonyx.convert.source import is_place, load_object
from sardonyx.convert.torch import TorchSource, match, missing
from sardonyx.core.dim import Spec, parse_spec
from sardonyx.core.dtype import Array
from sardonyx.core.errors import ConvertError, Disagreement, SardonyxError, UsageError
from sardonyx.core.limits import Limits
from sardonyx.formats import load, save
from sardonyx.graph.check import check
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Value
from sardonyx.passes.infer import infer

Progress = Callable[[float], None]
SIZES = (3, 5, 7, 11, 13, 17)


class Trained(Protocol):
    """A trained model of some framework, with the inputs that it is to be converted for."""

    kind: str
    specs: list[Spec]

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
        """Made-up inputs of these sizes."""

    def outputs(self, feeds: Mapping[str, Any]) -> list[Array]:
        """What the framework computes."""

    def exact(self, feeds: Mapping[str, Any]) -> list[Array] | None:
        """What it computes in float64, where it can."""

    def export(self, path: Path, sizes: Mapping[str, int], opset: int | None) -> Guards:
        """Writes an ONNX file."""


def convert(
    source: Any,
    inputs: Sequence[str | Spec] | Mapping[str, str],
    output: str | os.PathLike[str] | None = None,
    *,
    opset: int | None = None,
    dims: Mapping[str, int] | None = None,
    data: Any = None,
    tolerance: str | float | None = None,
    keep: bool = False,
    seed: int = 0,
    limits: Limits | None = None,
    progress: Progress = lambda _: None,
) -> Conversion:
    """An ONNX model that agrees with the trained model it was made from.

    `source` is a PyTorch module, or a place such as `net.py:build` (which runs that file).
    `inputs` are shapes such as `x=Nx3x224x224` or `ids=NxS:int64`, one per input; a name instead of
    a number is a dim that may have any size. `dims` gives example sizes for such names where the
    model does not take small ones.

    The export is checked, then run beside the source on made-up inputs at several sizes of every
    symbol (or on the rows of `data`, see `compare`), and written to `output` only when they agree,
    or with `keep`. Raises ConvertError (E0601 to E0608); Disagreement (E0605), whose `report` is
    the comparison, where they do not agree; UsageError for shapes that cannot be read.
    """
    made = _source(source, _specs(inputs))
    sizes = _example(made.specs, dims or {})
    with tempfile.TemporaryDirectory(prefix="sardonyx-convert-") as folder:
        path = Path(folder) / "model.onnx"
        guards = made.export(path, sizes, opset)
        progress(0.5)
        graph = _checked(path, limits)
        _check_dims(made, graph, guards)
        progress(0.6)
        cases = _cases(made, graph, sizes, data, seed)
        record = _Evidence(made, graph, limits)
        found = compare(
            record.theirs,
            record.ours,
            data=cases,
            tolerance=tolerance,
            trace=False,
            limits=limits,
            progress=lambda share: progress(0.6 + 0.4 * share),
        )
        if not found.agree and not keep:
            raise _disagreement(found, made, guards)
        if output is not None:
            save(graph, output)
    target = "" if output is None else os.fspath(output)
    return Conversion(graph, target, made.kind, found, tuple(record.accuracy()))


def side_of(source: Any, label: str = "") -> Side:
    """A trained model (or its place) as a side of a comparison; inputs are taken by position."""
    made = _source(source, [])
    return Side(label or (source if isinstance(source, str) else made.kind), made.outputs)


def _specs(inputs: Sequence[str | Spec] | Mapping[str, str]) -> list[Spec]:
    if isinstance(inputs, Mapping):
        inputs = [f"{name}={shape}" for name, shape in inputs.items()]
    if isinstance(inputs, str):
        inputs = [inputs]
    specs = [one if isinstance(one, Spec) else parse_spec(one) for one in inputs]
    names = [s.name for s in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError("E0910", f"the input `{twice.pop()}` is given twice")
    return specs


def _source(source: Any, specs: Sequence[Spec]) -> Trained:
    place = source if isinstance(source, str) else ""
    if place and not is_place(place):
        raise UsageError(
            "E0912",
            f"`{place}` does not name a model",
            wanted="file.py:name or package.module:name",
        )
    model = load_object(place) if place else source
    if not match(model):
        raise ConvertError(
            "E0607",
            f"nothing here converts {type(model).__module__}.{type(model).__qualname__}",
            wanted="a torch.nn.Module, or a function that returns one",
        )
    lacking = missing()
    if lacking is not None:
        raise ConvertError("E0607", "packages for the export are missing", hint=lacking)
    return TorchSource(model, specs)


def _example(specs: Sequence[Spec], dims: Mapping[str, int]) -> dict[str, int]:
    names = list(dict.fromkeys(s for spec in specs for s in spec.symbols))
    unknown = [n for n in dims if n not in names]
    if unknown:
        known = ", ".join(names) or "none"
        raise UsageError("E0911", f"`{unknown[0]}` is no symbol of the inputs", wanted=known)
    small = {n: SIZES[i % len(SIZES)] for i, n in enumerate(names)}
    return {**small, **dims}


def _checked(path: Path, limits: Limits | None) -> Graph:
    graph = load(path, limits)
    for finding in check(graph, limits=limits):
        if finding.is_error:
            said = f"the exporter wrote a model that is not valid: {finding.message}"
            raise ConvertError("E0606", said, node=finding.node, op=finding.op)
    try:
        infer(clone(graph), limits=limits)
    except SardonyxError as error:
        said = f"the exporter wrote a model that is not valid: {error.message}"
        raise ConvertError("E0606", said, node=error.node, op=error.op) from error
    graph.source = ""
    return graph


def _check_dims(made: Trained, graph: Graph, guards: Guards) -> None:
    given = {v.name: v for v in graph.inputs}
    for spec in made.specs:
        value = given.get(spec.name)
        if value is None:
            raise ConvertError(
                "E0603",
                f"the exported model has no input `{spec.name}`: forward() does not use it",
                tensor=spec.name,
                hint=f"leave --input {spec.name}=... out",
            )
        _check_dim(spec, value, guards)


def _check_dim(spec: Spec, value: Value, guards: Guards) -> None:
    for axis, (asked, dim) in enumerate(zip(spec.dims, value.shape or (), strict=False)):
        if isinstance(asked, int) or not dim.is_const:
            continue
        why = guards.about({(spec.name, axis)})
        raise ConvertError(
            "E0603",
            f"`{asked}` of the input `{spec.name}` became {dim.arg} in the export: "
            "the model's code works for that size only",
            tensor=spec.name,
            given=value.type,
            wanted=str(spec),
            source=why[-1].source if why else None,
            hint="make the code follow the input's size (x.reshape(x.shape[0], -1) instead of "
            f"x.reshape(3, -1)), or give a number for `{asked}` in --input",
        )


def _cases(
    made: Trained, graph: Graph, sizes: Mapping[str, int], data: Any, seed: int
) -> list[Case]:
    if data is not None:
        rows = Rows(read(data, graph), graph)
        return list(rows.cases())
    cases = []
    for n, one in enumerate(_several(sizes)):
        told = ", ".join(f"{name}={size}" for name, size in one.items())
        cases.append(Case(told or "as given", made.sample(one, seed + n), made_up=True))
    return cases


def _several(sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """The example sizes, others above and below, and 1 for each symbol alone and for all."""
    base = dict(sizes)
    tried: list[dict[str, int]] = [base]
    tried += [{**base, name: 1} for name in base]
    tried.append(dict.fromkeys(base, 1))
    tried.append({name: size // 2 if size > 17 else size + 4 for name, size in base.items()})
    for n, one in enumerate(tried):
        if one not in tried[:n]:
            yield one


class _Evidence:
    """Both sides of a conversion's comparison; remembers the outputs to judge them afterwards."""

    def __init__(self, made: Trained, graph: Graph, limits: Limits | None) -> None:
        native = of_model(graph, DEFAULT, limits=limits, label="the ONNX model")
        self.made = made
        self._run = native
        self._last: tuple[Mapping[str, Any], list[Any]] | None = None
        self._tallies: dict[str, tuple[Tally, Tally]] = {}
        self._exact = True
        self.theirs = Side(made.kind, self._source)
        self.ours = Side(native.label, self._native, native.inputs, native.graph, DEFAULT)

    def _source(self, feeds: Mapping[str, Any]) -> Outputs:
        found = self.made.outputs(feeds)
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


def _disagreement(found: Comparison, made: Trained, guards: Guards) -> Disagreement:
    axes = {(s.name, n) for s in made.specs for n, d in enumerate(s.dims) if isinstance(d, str)}
    why = guards.about(axes)
    row = next(row for row in found.rows if row.refusal)
    said = f"the exported model does not agree with {made.kind}"
    hint = "--keep writes it all the same"
    if why:
        hint = "the export followed the path that its example took through this line; " + hint
    error = Disagreement(
        "E0605",
        f"{said}: at {row.at}, output `{row.difference.name}` {row.refusal}",
        tensor=row.difference.name,
        wanted=str(found.tolerance),
        source=why[-1].source if why else None,
        hint=hint,
    )
    error.report = found
    return error
