"""The `sardonyx` command: finds the verb, imports only that, turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import click

import sardonyx.cli.commands as commands
from sardonyx.cli import interrupts
from sardonyx.core.errors import NoSuchFile, SardonyxError, UsageError
from sardonyx.core.near import near
from sardonyx.core.version import __version__

SUMMARIES = {
    "bench": "Measure a model against other runtimes, side by side.",
    "check": "Say whether a model is valid, and what is wrong with it.",
    "compare": "Say how far two models, providers or frameworks differ.",
    "convert": "Make an ONNX model from a trained one, and prove that it agrees.",
    "demo": "Train, convert, compare, quantize and measure a small model.",
    "doctor": "Show the CPU, the providers, versions, caches and limits.",
    "dump": "Print a stage between the model and its machine code.",
    "exec": "Run a program that imports onnxruntime on Sardonyx.",
    "explain": "Explain an error code, or how a node is compiled and why.",
    "optimize": "Write an equal model that runs faster.",
    "ops": "List the operators and how far each is supported.",
    "quantize": "Write an int8 model, calibrated on data.",
    "run": "Run a model on arrays from files, or on random ones.",
    "show": "Show inputs, outputs, operators, parameters, work and memory.",
    "upgrade": "Move a model to another opset, newer or older.",
}


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The modules of `cli.commands`."""
        del ctx
        return sorted(m.name for m in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name}")
        interrupts.raise_again()
        found: click.Command = module.command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with a suggestion for a mistyped verb."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            hint = near(args[0], known, "`sardonyx {}`")
            raise UsageError(
                "E0900",
                f"there is no command `{args[0]}`",
                wanted=None if hint else ", ".join(known),
                hint=hint,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any of them."""
        rows = [(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has --json, --quiet and --verbose, and examples in its --help.",
)
@click.version_option(__version__, "--version", prog_name="sardonyx")
def app() -> None:
    """The whole life of an ONNX model.

    \b
    sardonyx demo                                   from training to a report in a minute
    sardonyx convert net.py:build --input x=Nx3x224x224 -o net.onnx
    sardonyx run net.onnx --input x=x.npy
    sardonyx bench net.onnx --against onnxruntime
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with product codes: 0, 1, 2, 3, 4, 70 or 130."""
    _open_streams()
    code = run(list(sys.argv[1:] if args is None else args))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
    except OSError as problem:
        _drop_stdout()
        said = f"standard output cannot be written: {problem.strerror}"
        code = _failed(NoSuchFile("E0103", said), [])
    sys.exit(code)


def _open_streams() -> None:
    """Gives closed standard streams to nowhere, so that no file opened later takes their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def run(args: list[str]) -> int:
    """Runs the command line; the exit code."""
    try:
        found: Any = app.main(args, prog_name="sardonyx", standalone_mode=False)
        return int(found or 0)
    except click.exceptions.Exit as end:
        return int(end.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return interrupts.CODE
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except click.ClickException as error:
        return _failed(_usage(error), args)
    except Exception as error:  # noqa: BLE001 - the last resort decides between user and our fault
        return _failed(error, args)


def _drop_stdout() -> None:
    """Sends what is still buffered nowhere: the reader of the pipe has left."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


def _usage(error: click.ClickException) -> SardonyxError:
    """A command line that click cannot read, in the product's form."""
    ctx = getattr(error, "ctx", None)
    hint = None if ctx is None else f"`{ctx.command_path} --help` shows how"
    if isinstance(error, click.NoSuchOption):
        names = error.possibilities or []
        message = f"there is no option `{error.option_name}`"
        if names:
            hint = f"did you mean {' or '.join(f'`{n}`' for n in names[:3])}?"
        return UsageError("E0900", message, hint=hint)
    return UsageError("E0900", error.format_message().rstrip("."), hint=hint)


def _failed(error: Exception, args: list[str]) -> int:
    from sardonyx.cli.output import print_error  # noqa: PLC0415 - only now is rich needed

    return print_error(error, args)
