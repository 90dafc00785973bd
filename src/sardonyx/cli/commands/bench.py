"""`sardonyx bench`: a model against other runtimes, side by side."""

from __future__ import annotations

import click

from sardonyx.bench import bench
from sardonyx.cli.data import read_inputs
from sardonyx.cli.report import Output, speaks
from sardonyx.core.dim import parse_bindings
from sardonyx.formats import load


@click.command()
@click.argument("model")
@click.option("--against", multiple=True, metavar="NAME",
              help="onnxruntime, onnxruntime-iobinding, openvino, openvino-bf16 or a provider.")
@click.option("--threads", multiple=True, type=click.IntRange(1), help="Repeatable; default 1.")
@click.option("--input", "inputs", multiple=True, metavar="x=x.npy")
@click.option("--dim", "dims", multiple=True, metavar="N=4", help="A symbol of made-up inputs.")
@speaks
def command(
    model: str, against: tuple[str, ...], threads: tuple[int, ...], inputs: tuple[str, ...],
    dims: tuple[str, ...], out: Output,
) -> None:  # fmt: skip
    """Measure a model against other runtimes: paired ratios, errors, start times, memory.

    Every contender runs in a process of its own, in turns; a ratio above 1 means that ours is
    faster. Let nothing else run meanwhile.

    \b
    sardonyx bench net.onnx --against onnxruntime --against openvino --threads 1
    """
    feeds = read_inputs(inputs, load(model)) if inputs else None
    report = bench(
        model, against or ("onnxruntime",), threads=threads or (1,), feeds=feeds,
        dims=parse_bindings(dims), progress=out.note,
    )  # fmt: skip
    out.data("bench", report.to_dict(), lambda: report)
