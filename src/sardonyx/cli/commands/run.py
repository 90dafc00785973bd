"""`sardonyx run`: a model on arrays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from sardonyx.cli.data import read_inputs, write_arrays
from sardonyx.cli.report import Output, speaks, table
from sardonyx.core.dim import parse_bindings
from sardonyx.formats import load
from sardonyx.graph.sample import sample_feeds
from sardonyx.session import InferenceSession, SessionOptions


@click.command()
@click.argument("model")
@click.option("--input", "inputs", multiple=True, metavar="x=x.npy",
              help="An input from a .npy, .npz or .json file; made up when absent.")  # fmt: skip
@click.option("--dim", "dims", multiple=True, metavar="N=4", help="A symbol of made-up inputs.")
@click.option("-o", "--output", metavar="FILE", help="Save the outputs as .npy or .npz.")
@click.option("--provider", default="CPUExecutionProvider", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Threads of the run.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of made-up inputs.")
@speaks
def command(
    model: str, inputs: tuple[str, ...], dims: tuple[str, ...], output: str | None, provider: str,
    threads: int | None, seed: int, out: Output,
) -> None:  # fmt: skip
    """Run a model on arrays from files, or on seeded random ones.

    \b
    sardonyx run net.onnx --input x=x.npy
    sardonyx run net.onnx --dim N=4 -o out.npz
    """
    graph = load(model)
    feeds: dict[str, Any] = read_inputs(inputs, graph)
    if not inputs:
        feeds = dict(sample_feeds(graph, parse_bindings(dims), seed))
        out.note("no --input: the inputs are random")
    options = SessionOptions(intra_op_num_threads=threads or 0)
    session = InferenceSession(model, options, [provider])
    for gap in session.gaps()[:5]:
        out.note(f"host step `{gap.node}` ({gap.op}): {gap.reason}")
    start = time.perf_counter()
    results = session.run(None, feeds)
    took = time.perf_counter() - start
    named = {o.name: r for o, r in zip(session.get_outputs(), results, strict=True)}
    if output:
        write_arrays(Path(output), named)
        out.note(f"wrote {output}")
    out.data(
        "run", {"outputs": {n: _data(x) for n, x in named.items()}, "seconds": took},
        lambda: table(("output", "type", "values"), [_row(n, x) for n, x in named.items()]),
    )  # fmt: skip
    out.note(f"{took * 1e3:.3f} ms")


def _data(x: Any) -> dict[str, Any]:
    if not isinstance(x, np.ndarray):
        return {"data": x}
    return {"dtype": str(x.dtype), "shape": list(x.shape), "data": x.tolist()}


def _row(name: str, x: Any) -> tuple[str, str, str]:
    if not isinstance(x, np.ndarray):
        return name, type(x).__name__, str(x)[:200]
    shape = ",".join(map(str, x.shape))
    values = np.array2string(x, threshold=16, edgeitems=3, precision=5, max_line_width=72)
    return name, f"{x.dtype}[{shape}]", values
