"""`sardonyx demo`: everything, on a small model."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from sardonyx.bench.measure import Plan
from sardonyx.cli.output import Output, show, speaks, table
from sardonyx.demo import stages
from sardonyx.demo.digits import one_thread
from sardonyx.demo.folder import REPORT, fresh
from sardonyx.demo.stages import PEER, Demo
from sardonyx.demo.story import method, page, summary, to_dict
from sardonyx.providers.registry import providers


@click.command()
@click.option(
    "-o",
    "--output",
    default="sardonyx-demo",
    show_default=True,
    metavar="DIR",
    help="The folder to make; an earlier demo's is replaced.",
)
@speaks
def command(output: str, out: Output) -> None:
    """Train, convert, check, compare, optimize, run, quantize and measure a small model.

    \b
    sardonyx demo
    sardonyx demo -o /tmp/demo

    The network learns scikit-learn's handwritten digits in a few seconds. At the end stand a
    report.html, the .onnx files and the data, for the commands that are suggested.
    """
    run(Path(output), out)


def run(
    target: Path, out: Output, plan: Plan = stages.QUICK, batches: Sequence[int] = stages.BATCHES
) -> Demo:
    """The whole demo; nothing stands at `target` before all of it is there."""
    stages.demand()
    commands = suggestions(target)
    with fresh(target) as folder, ExitStack() as held:
        with out.progress("load PyTorch"):
            held.enter_context(one_thread())
        demo = Demo(folder, plan, batches=batches)
        for n, (name, stage) in enumerate(stages.STAGES, 1):
            start = time.perf_counter()
            with out.progress(f"{n}/{len(stages.STAGES)} {name}") as progress:
                said = stage(demo, progress)
            demo.seconds[name] = time.perf_counter() - start
            out.note(f"{n}/{len(stages.STAGES)} {name}: {said} ({demo.seconds[name]:.1f} s)")
        demo.file(REPORT).write_text(page(demo, commands).html(), encoding="utf-8")
        files = sorted(path.name for path in folder.iterdir())
    demo.folder = target
    values = {"folder": str(target), "files": files, "try": commands, **to_dict(demo)}
    out.data("demo", values, lambda: _print(demo, target, commands))
    return demo


def _print(demo: Demo, target: Path, commands: list[str]) -> None:
    show(table(*summary(demo)))
    show(textwrap.fill(method(demo), 79))
    for note in demo.notes:
        show(note)
    show(f"\nThe report, the models and the data are in {target}:")
    show(f"  {target / REPORT}")
    show("\nTry next:")
    for line in commands:
        show(f"  {line}")


def suggestions(target: Path) -> list[str]:
    """Three commands that work as they stand, from the present folder."""
    program = _program()
    model, int8 = str(target / "digits.onnx"), str(target / "digits.int8.onnx")
    data = str(target / "test.npz")
    against = "onnxruntime" if providers()[PEER].missing() is None else "ReferenceExecutionProvider"
    found = (
        ["show", model],
        ["compare", model, int8, "--data", data],
        ["bench", model, "--against", against, "--dim", "N=8"],
    )
    return [shlex.join([*program, *words]) for words in found]


def _program() -> list[str]:
    """How to call the program so that it is this one."""
    called = Path(sys.argv[0])
    if called.name != "sardonyx":
        return [sys.executable, "-m", "sardonyx"]
    on_path = shutil.which("sardonyx")
    if on_path is not None and Path(on_path).resolve() == called.resolve():
        return ["sardonyx"]
    return [str(called)]
