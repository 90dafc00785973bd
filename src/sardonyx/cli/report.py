"""What commands print: data on stdout as text or JSON, everything else on stderr."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from sardonyx.core.errors import SardonyxError, sanitise

SCHEMA = 1


@dataclass(frozen=True)
class Output:
    """How a command was asked to speak."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def data(self, command: str, values: Mapping[str, Any], text: Callable[[], Any]) -> None:
        """Prints the result: JSON with a schema version, or what `text()` returns or prints."""
        if self.json:
            whole = {"schema": SCHEMA, "command": command, **values}
            click.echo(json.dumps(whole, indent=2, default=_plain, allow_nan=True))
            return
        shown = text()
        if shown is not None:
            show(shown)

    def note(self, message: str) -> None:
        """A line on stderr, unless quiet."""
        if not self.quiet:
            click.echo(message, err=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float], None]]:
        """A bar on stderr for work that may take more than a second; call it with 0..1."""
        if self.quiet or self.json or not sys.stderr.isatty():
            if not (self.quiet or self.json):
                click.echo(f"{what} ...", err=True)
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=1.0)
            yield lambda share: bar.update(task, completed=share)


def show(thing: Any) -> None:
    """Prints text or something rich on stdout."""
    if isinstance(thing, str):
        click.echo(thing)
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    Console(file=sys.stdout, width=width, highlight=False, soft_wrap=False).print(thing)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Any:
    """A rich table of plain text cells; numbers align right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    held = [[_cell(x) for x in row] for row in rows]
    made = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for n, name in enumerate(columns):
        numeric = bool(held) and all(_numeric(row[n]) for row in held)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in held:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _numeric(cell: str) -> bool:
    return bool(cell) and (cell[0].isdigit() or cell[0] in "-+×") and len(cell) < 24


def _cell(x: Any) -> str:
    if isinstance(x, float):
        return f"{x:.3g}"
    return sanitise(x) if x is not None else ""


def _plain(x: Any) -> Any:
    if hasattr(x, "to_dict"):
        return x.to_dict()
    if hasattr(x, "tolist"):
        return x.tolist()
    return str(x)


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json, --quiet and --verbose; the command gets an `Output` as `out`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
    @click.option("-q", "--quiet", is_flag=True, help="Print only the result.")
    @click.option("-v", "--verbose", is_flag=True, help="Print more on stderr.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, quiet: bool, verbose: bool, **kwargs: Any) -> Any:
        return command(*args, out=Output(as_json, quiet, verbose), **kwargs)

    return wrapped


def print_error(error: Exception, args: Sequence[str]) -> int:
    """Prints an error in the product's form (JSON when asked for); its exit code."""
    if isinstance(error, SardonyxError):
        if "--json" in args:
            click.echo(json.dumps({"schema": SCHEMA, "error": error.to_dict()}, default=str))
        click.echo(error.render(), err=True)
        return error.exit_code
    if isinstance(error, OSError):
        click.echo(f"error[E0101]: {sanitise(error)}", err=True)
        return 3
    click.echo(f"error[E0999]: our own fault: {type(error).__name__}: {sanitise(error)}", err=True)
    click.echo("Please report this with the following lines:", err=True)
    click.echo("".join(traceback.format_exception(error)), err=True)
    return 70
