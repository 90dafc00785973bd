"""Measures models of single operators beside ONNX Runtime, or beside another checkout of ours.

python benchmarks/operators.py [WORD ...] [--quick] [--threads 1,2] [--forms large,odd]
python benchmarks/operators.py --against sardonyx@/path/to/other/checkout --json FILE

WORD selects the operators whose names contain it. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from roofs import Roofs, measure_roofs
from sardonyx.bench import NATIVE, Contender, Plan, race
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import SardonyxError
from sardonyx.formats import save
from sardonyx.graph.evaluate import run
from singles import CASES, FORMS, Case, Form, Model
from singles.work import work
from sweep import Measured, Sweep

SETS = 2
WHOLE = Plan(timeout=120.0, longest=20.0)
QUICK = Plan(pairs=6, restarts=1, timeout=20.0, longest=2.0)
QUICK_MINUTES = 10.0


def measure(
    case: Case, form: Form, threads: int, roofs: Roofs, against: Sequence[str], plan: Plan
) -> Measured:
    """One operator in one form; the outputs are judged by numpy's in float64."""
    model = case.model(form)
    feeds = model.feeds(SETS)
    wanted = _exact(case, form)
    with tempfile.TemporaryDirectory(prefix="sardonyx-operators-") as place:
        path = str(Path(place) / "model.onnx")
        save(model.graph, path)
        report = race(
            Contender.named(NATIVE, path, "sardonyx"),
            [Contender.named(name, path) for name in against],
            feeds,
            model=case.name,
            dims=model.dims,
            threads=[threads],
            wanted=wanted,
            plan=plan,
        )
    todo = work(model, feeds, _as_declared(model, wanted[0]))
    least, roof = roofs.bound(todo.flops, todo.read, todo.written, todo.working)
    return Measured(form, report, least, roof)


def _exact(case: Case, form: Form) -> list[dict[str, Array]]:
    """The outputs of every set of feeds, computed with numpy in float64 where ours is float32."""
    model = case.model(form, DType.FLOAT64)
    return [run(model.graph, feeds) for feeds in model.feeds(SETS)]


def _as_declared(model: Model, exact: dict[str, Array]) -> list[Array]:
    """The exact outputs in the types that the model gives."""
    kinds = [v.dtype for v in model.graph.outputs]
    return [
        array if kind is None else array.astype(kind.numpy)
        for array, kind in zip(exact.values(), kinds, strict=True)
    ]


def selected(words: Sequence[str]) -> list[Case]:
    """The cases whose names contain one of the words; all of them for none."""
    return [c for c in CASES if not words or any(w.lower() in c.name.lower() for w in words)]


def sweep(options: argparse.Namespace) -> Iterator[Sweep]:
    """The sweep so far, after every row."""
    plan = QUICK if options.quick else WHOLE
    end = time.monotonic() + 60 * options.minutes
    roofs = [measure_roofs(count) for count in options.threads]
    done = Sweep(roofs, options.against)
    for roof in roofs:
        for case in selected(options.words):
            for form in options.forms:
                place = f"{case.name}, {form}, threads {roof.threads}"
                if time.monotonic() > end:
                    done.missing[place] = f"{options.minutes:g} minutes are over"
                    continue
                print(place, file=sys.stderr)
                try:
                    done.rows.append(measure(case, form, roof.threads, roof, options.against, plan))
                except SardonyxError as problem:
                    done.missing[place] = f"{problem.code}: {problem.message}"
                yield done
    yield done


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure single operators side by side.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="parts of operators' names")
    parser.add_argument("--forms", type=_forms, help=f"of {','.join(FORMS)}; default all of them")
    parser.add_argument("--threads", type=_counts, default=[1], help="such as 1,2; default 1")
    parser.add_argument(
        "--against",
        type=_names,
        default=["onnxruntime"],
        help="onnxruntime[-iobinding], openvino, sardonyx@CHECKOUT; several by commas",
    )
    parser.add_argument("--quick", action="store_true", help="large forms, 6 pairs, 1 start")
    parser.add_argument("--minutes", type=float, help="begin no row later; --quick: 10")
    parser.add_argument("--json", type=Path, help="write the rows as data, too, as they come")
    parser.add_argument("--list", action="store_true", help="print the operators' names")
    options = parser.parse_args(arguments)
    if options.forms is None:
        options.forms = FORMS[:1] if options.quick else FORMS
    if options.minutes is None:
        options.minutes = QUICK_MINUTES if options.quick else float("inf")
    try:
        for name in options.against:
            Contender.named(name, "")
    except SardonyxError as problem:
        parser.error(problem.message)
    if not selected(options.words):
        parser.error(f"no operator is called {' or '.join(options.words)}; --list tells the names")
    return options


def _forms(text: str) -> list[Form]:
    found = [form for form in FORMS if form in text.split(",")]
    if set(text.split(",")) - set(found):
        raise argparse.ArgumentTypeError(f"known are {', '.join(FORMS)}")
    return found


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",")]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 where a row is wrong or could not be measured."""
    options = _arguments(arguments)
    if options.list:
        print("\n".join(case.name for case in selected(options.words)))
        return 0
    found: Sweep | None = None
    try:
        for found in sweep(options):
            if options.json:
                options.json.write_text(json.dumps(found.to_dict(), indent=1), encoding="utf-8")
    except KeyboardInterrupt:
        print("stopped; these rows are done", file=sys.stderr)
    if found is None:
        return 1
    Console(width=None if sys.stdout.isatty() else 170).print(found)
    return 1 if found.missing or found.wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
