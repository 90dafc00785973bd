"""`sardonyx bench`: a model against other runtimes, side by side."""

from __future__ import annotations

import click

from sardonyx.bench import Plan, bench
from sardonyx.cli import options
from sardonyx.cli.data import open_model, read_inputs
from sardonyx.cli.output import Output, speaks
from sardonyx.core.dim import parse_bindings


@click.command()
@click.argument("model")
@click.option(
    "--against",
    multiple=True,
    metavar="NAME",
    help="onnxruntime[-iobinding], openvino[-bf16], a provider, or sardonyx@CHECKOUT.",
)
@click.option("--threads", multiple=True, type=click.IntRange(1), help="Repeatable; default 1.")
@options.inputs
@options.dims
@click.option("--quick", is_flag=True, help="Fewer pairs and starts: a look, not a measurement.")
@options.override
@speaks
def command(
    model: str,
    against: tuple[str, ...],
    threads: tuple[int, ...],
    inputs: tuple[str, ...],
    dims: tuple[str, ...],
    quick: bool,
    out: Output,
) -> None:
    """Measure a model against other runtimes: paired ratios, errors, start times, memory.

    \b
    sardonyx bench net.onnx --against onnxruntime --against openvino --threads 1
    sardonyx bench net.onnx --dim N=8 --quick

    Every contender runs in a process of its own, in turns; a ratio above 1 means that ours is
    faster. Let nothing else run meanwhile.
    """
    graph = open_model(model)
    report = bench(
        model if model != "-" else graph,
        against or ("onnxruntime",),
        threads=threads or (1,),
        feeds=read_inputs(inputs, graph) if inputs else None,
        dims=parse_bindings(dims),
        plan=Plan(pairs=4, restarts=1) if quick else None,
        progress=out.note,
    )
    out.data("bench", report.to_dict(), lambda: report)
