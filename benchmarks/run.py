"""Measures the reference models side by side and writes docs/benchmarks.md.

python benchmarks/run.py [NAME ...] [--threads 1,2] [--quick] [--json FILE] [--no-page]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import models
from page import write_page
from sardonyx.bench import NATIVE, BenchReport, Contender, Plan, race
from sardonyx.core.errors import SardonyxError

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
NAMES = ("mlp", "lstm", "resnet50", "mobilenetv2", "bert-base", "vit-base")
PEERS = ("onnxruntime", "onnxruntime-iobinding", "openvino")
QUICK = Plan(pairs=6, restarts=2)


def _progress(text: str) -> None:
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, end="\n", file=sys.stderr)


def measure(
    name: str, threads: Sequence[int], subject: str, against: Sequence[str], plan: Plan
) -> BenchReport:
    """One reference model on its pool of inputs, judged by the float64 outputs of PyTorch."""
    found = models.build(name)
    feeds, wanted = models.load_pool(found.pool)
    path = str(found.model)
    sides = [_side(subject, path), *(_side(label, path) for label in against)]
    return race(
        sides[0],
        sides[1:],
        feeds,
        model=name,
        dims=_dims(name),
        threads=threads,
        wanted=wanted,
        plan=plan,
        progress=_progress,
    )


def _side(name: str, path: str) -> Contender:
    return Contender.named(name, path, "sardonyx" if name == NATIVE else None)


def _dims(name: str) -> dict[str, int]:
    return {"N": 1, "S": 128} if name == "bert-base" else {"N": 1}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the reference models side by side.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--threads", default="1,2", help="thread counts, such as 1,2")
    parser.add_argument("--subject", default=NATIVE, help="whom to measure")
    parser.add_argument("--against", default=",".join(PEERS), help="whom to measure it against")
    parser.add_argument("--quick", action="store_true", help="6 pairs, 2 starts: a look, no claim")
    parser.add_argument("--json", type=Path, help="write the report as data, too")
    parser.add_argument("--no-page", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown model {', '.join(unknown)}; known: {', '.join(NAMES)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page where all models met the usual peers with all pairs."""
    from rich.console import Console

    options = _arguments(arguments)
    plan = QUICK if options.quick else Plan()
    threads = [int(count) for count in options.threads.split(",")]
    against = [name for name in options.against.split(",") if name]
    report: BenchReport | None = None
    failed: dict[str, str] = {}
    for name in options.names or NAMES:
        try:
            part = measure(name, threads, options.subject, against, plan)
        except SardonyxError as problem:
            failed[name] = f"{problem.code}: {problem.message}"
            print(problem.render(), file=sys.stderr)
            continue
        report = part if report is None else report + part
    if report is None:
        return 1
    Console(width=None if sys.stdout.isatty() else 160).print(report)
    if options.json:
        options.json.write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    usual = (options.subject, *against) == (NATIVE, *PEERS)
    whole = usual and not options.names and not options.quick
    if whole and not options.no_page:
        write_page(report, PAGE, failed)
        print(PAGE)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
