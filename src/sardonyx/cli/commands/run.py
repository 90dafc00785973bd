"""`sardonyx run`: a model on arrays."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from sardonyx.cli import options
from sardonyx.cli.data import check_target, open_model, read_inputs, write_arrays
from sardonyx.cli.output import Output, speaks, table
from sardonyx.core.dim import parse_bindings
from sardonyx.core.errors import UsageError
from sardonyx.formats.arrays import write_stream
from sardonyx.graph.sample import sample_feeds
from sardonyx.session import InferenceSession, SessionOptions


@click.command()
@click.argument("model")
@options.inputs
@options.dims
@click.option("-o", "--output", metavar="FILE", help="Save the outputs as .npy or .npz.")
@options.provider
@options.threads
@options.seed
@options.override
@speaks
def command(
    model: str,
    inputs: tuple[str, ...],
    dims: tuple[str, ...],
    output: str | None,
    provider: str,
    threads: int | None,
    seed: int,
    out: Output,
) -> None:
    """Run a model on arrays from files, or on seeded random ones.

    \b
    sardonyx run net.onnx --input x=x.npy
    sardonyx run net.onnx --input inputs.npz -o outputs.npz
    sardonyx run net.onnx --dim N=4
    """
    if output is not None:
        check_target(output, out)
    if inputs and dims:
        raise UsageError("E0901", "--dim gives sizes to made-up inputs, --input gives the inputs")
    graph = open_model(model)
    feeds: dict[str, Any] = read_inputs(inputs, graph)
    if not inputs:
        feeds = dict(sample_feeds(graph, parse_bindings(dims), seed))
        out.note("no --input: the inputs are random")
    settings = SessionOptions(intra_op_num_threads=threads or 0)
    with out.progress("compiling and running"):
        session = InferenceSession(graph, settings, [provider])
        start = time.perf_counter()
        results = session.run(None, feeds)
        took = time.perf_counter() - start
    _gaps(session, out)
    named = {o.name: r for o, r in zip(session.get_outputs(), results, strict=True)}
    if output:
        _save(output, named, out)
    values = {"outputs": {n: _data(x) for n, x in named.items()}, "seconds": took}
    rows = [_row(n, x) for n, x in named.items()]
    out.data("run", values, lambda: table(("output", "type", "values"), rows))
    out.more(f"first run {took * 1e3:.3f} ms")


def _gaps(session: InferenceSession, out: Output) -> None:
    gaps = session.gaps()
    for gap in gaps[:5]:
        out.note(f"host step `{gap.node}` ({gap.op}): {gap.reason}")
    if len(gaps) > 5:
        out.note(f"and {len(gaps) - 5} more host steps")


def _save(path: str, named: Mapping[str, Any], out: Output) -> None:
    if path == "-":
        write_stream(sys.stdout.buffer, named)
        sys.stdout.buffer.flush()
        return
    write_arrays(Path(path), named)
    out.note(f"wrote {path}")


def _data(x: Any) -> dict[str, Any]:
    if not isinstance(x, np.ndarray):
        return {"data": x}
    return {"dtype": str(x.dtype), "shape": list(x.shape), "data": x}


def _row(name: str, x: Any) -> tuple[str, str, str]:
    if not isinstance(x, np.ndarray):
        return name, type(x).__name__, str(x)[:200]
    shape = ",".join(map(str, x.shape))
    values = np.array2string(x, threshold=16, edgeitems=3, precision=5, max_line_width=72)
    kind = "string" if x.dtype == object else str(x.dtype)
    return name, f"{kind}[{shape}]", values
