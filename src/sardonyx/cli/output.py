"""What commands print: data on stdout as text or JSON, everything else on stderr."""

from __future__ import annotations

import errno
import functools
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sardonyx.core import knobs
from sardonyx.core.errors import InternalError, NoSuchFile, SardonyxError, UsageError, foreign
from sardonyx.core.escape import dumps, printable, sanitise

SCHEMA = 1
_MODEL = "sardonyx.model"
PATIENCE = 1.0
_PIPE_WIDTH = 400


@dataclass
class Output:
    """How a command was asked to speak; data go to stderr when a file goes to stdout."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    stdout_taken: bool = False

    def data(self, command: str, values: Mapping[str, Any], text: Callable[[], Any]) -> None:
        """Prints the result: JSON with a schema version, or what `text()` returns or prints."""
        if self.json:
            whole = {"schema": SCHEMA, "command": command, **values}
            click.echo(dumps(whole), err=self.stdout_taken)
            return
        shown = text()
        if shown is not None:
            show(shown, err=self.stdout_taken)

    def note(self, message: str) -> None:
        """A line on stderr, unless quiet."""
        if not self.quiet:
            click.echo("\n".join(sanitise(line) for line in message.split("\n")), err=True)

    def more(self, message: str) -> None:
        """A line on stderr when verbose."""
        if self.verbose:
            self.note(message)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float], None]]:
        """A bar on stderr once the work takes more than a second; call it with 0..1."""
        if self.quiet or self.json:
            yield lambda _: None
            return
        bar = Bar(what)
        try:
            yield bar.update
        finally:
            bar.stop()


class Bar:
    """A progress bar that appears after a second; off terminals, one line that says what runs."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.share = 0.0
        self._stream = sys.stderr  # what runs meanwhile may put another in its place
        self._shown: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE, self._start)
        self._timer.daemon = True
        self._timer.start()

    def _start(self) -> None:
        with self._lock:
            if self._shown is False:
                return
            if not self._stream.isatty():
                click.echo(f"{self.what} ...", file=self._stream)
                return
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            bar = Progress(
                *columns,
                console=console(stream=self._stream),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = bar.add_task(self.what, total=1.0)
            bar.update(self._task, completed=self.share)
            bar.start()
            self._shown = bar

    def update(self, share: float) -> None:
        """Notes how much is done, from 0 to 1."""
        self.share = share
        bar = self._shown
        if bar:
            bar.update(self._task, completed=share)

    def stop(self) -> None:
        """Takes the bar away."""
        self._timer.cancel()
        with self._lock:
            if self._shown:
                self._shown.stop()
            self._shown = False


def console(err: bool = False, stream: Any = None) -> Any:
    """A rich console for stdout, stderr or a stream; off terminals too wide to break lines."""
    stream = stream or (sys.stderr if err else sys.stdout)
    width = None if stream.isatty() else _PIPE_WIDTH
    plain = knobs.NO_COLOR.get() or None
    return Console(file=stream, width=width, highlight=False, no_color=plain, soft_wrap=False)


def show(thing: Any, err: bool = False) -> None:
    """Prints text or something rich."""
    if isinstance(thing, str):
        click.echo(printable(thing), err=err)
        return
    made = console(err)
    if made.is_terminal:
        made.print(thing)
        return
    with made.capture() as caught:
        made.print(thing)
    lines = [line.rstrip() for line in caught.get().splitlines()]
    click.echo("\n".join(lines).strip("\n"), err=err)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Any:
    """A rich table of plain text cells; numbers align right."""
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
    if x is None:
        return ""
    return "\n".join(sanitise(line) for line in str(x).split("\n"))


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json, --quiet and --verbose; the command gets an `Output` as `out`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
    @click.option("-q", "--quiet", is_flag=True, help="Print only the result.")
    @click.option("-v", "--verbose", is_flag=True, help="Print more on stderr.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, quiet: bool, verbose: bool, **kwargs: Any) -> Any:
        try:
            return command(*args, out=Output(as_json, quiet, verbose), **kwargs)
        except SardonyxError as error:
            if not isinstance(error, UsageError):
                error.locate(file=click.get_current_context().meta.get(_MODEL))
            raise

    return wrapped


def note_model(path: str) -> None:
    """Lets errors of the running command name this model where they name no file."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(_MODEL, path)


def print_error(error: Exception, args: Sequence[str]) -> int:
    """Prints an error in the product's form (JSON when asked for); its exit code."""
    known = _known(error)
    if "--json" in args:
        command = next((a for a in args if not a.startswith("-")), "")
        # What is wrong may be that nothing can be printed there.
        with suppress(OSError):
            click.echo(dumps({"schema": SCHEMA, "command": command, "error": known.to_dict()}))
    click.echo(known.render(), err=True)
    ours = known.exit_code == InternalError.exit_code
    if ours:
        click.echo("Please report this with the following lines:", err=True)
    if ours or {"-v", "--verbose"} & set(args):
        click.echo("".join(traceback.format_exception(error)), err=True)
    return known.exit_code


def _known(error: Exception) -> SardonyxError:
    if isinstance(error, SardonyxError):
        return error
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        name = None if error.filename is None else str(error.filename)
        return NoSuchFile("E0101", error.strerror or str(error), file=name)
    return foreign(error)
