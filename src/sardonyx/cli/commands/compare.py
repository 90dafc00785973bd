"""`sardonyx compare`: do two sides say the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sardonyx.cli import options
from sardonyx.cli.data import parse_count
from sardonyx.cli.output import Output, speaks
from sardonyx.compare import compare, to_html
from sardonyx.convert import is_place, side_of
from sardonyx.core.dim import parse_bindings
from sardonyx.formats.files import replacing


@click.command()
@click.argument("model")
@click.argument("against", required=False)
@options.data
@click.option("--batch", "batches", multiple=True, metavar="N", help="Batch sizes for the rows.")
@options.dims
@options.provider
@click.option("--against-provider", metavar="NAME", help="Who runs the second side.")
@options.tolerance
@options.threads
@options.seed
@click.option("--html", "page", metavar="FILE", help="Write the report as one HTML page.")
@speaks
def command(
    model: str,
    against: str | None,
    data: str | None,
    batches: tuple[str, ...],
    dims: tuple[str, ...],
    provider: str,
    against_provider: str | None,
    tolerance: str | None,
    threads: int | None,
    seed: int,
    page: str | None,
    out: Output,
) -> int:
    """Say how far two models, providers or frameworks differ; exit code 1 when too far.

    \b
    sardonyx compare net.onnx net.int8.onnx --data test.npz
    sardonyx compare net.py:build net.onnx
    sardonyx compare net.onnx --against-provider onnxruntime
    """
    with out.progress("comparing") as progress:
        found = compare(
            _side(model),
            None if against is None else _side(against),
            provider=provider,
            against_provider=against_provider,
            data=data,
            dims=parse_bindings(dims),
            batches=[parse_count(n) for n in batches],
            tolerance=tolerance,
            seed=seed,
            threads=threads or 0,
            progress=progress,
        )
    if page is not None:
        with replacing(Path(page)) as file:
            file.write(to_html(found).encode())
    out.data("compare", found.to_dict(), lambda: found)
    return 0 if found.agree else 1


def _side(text: str) -> Any:
    return side_of(text) if is_place(text) else text
