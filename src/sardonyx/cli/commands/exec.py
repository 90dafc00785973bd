"""`sardonyx exec`: an unchanged program that imports onnxruntime, on Sardonyx."""

from __future__ import annotations

from pathlib import Path

import click

from sardonyx.dropin.execute import execute


class Program(click.Command):
    """A command whose options end where the program begins, by name, `-m` or `-c`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What follows `-m MODULE` or `-c CODE` is the program's."""
        for n, word in enumerate(args):
            if word in ("-m", "-c"):
                args = [*args[: n + 2], "--", *args[n + 2 :]]
            elif word.startswith("-") or args[n - 1 : n] == ["--json"]:
                continue
            break
        return super().parse_args(ctx, args)


@click.command(cls=Program, context_settings={"allow_interspersed_args": False})
@click.option("-m", "module", metavar="MODULE", help="Run a module, as `python -m` does.")
@click.option("-c", "code", metavar="CODE", help="Run this code, as `python -c` does.")
@click.option("--json", "report", metavar="FILE", type=Path, help="Write the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
@click.option("-v", "--verbose", is_flag=True, help="Print every host step.")
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
def command(
    program: tuple[str, ...],
    module: str | None,
    code: str | None,
    report: Path | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run an unchanged Python program that imports onnxruntime, on Sardonyx.

    Arguments, output, tracebacks and the exit code are the program's own. At its end a report on
    stderr says which sessions ran where, which nodes ran on the host, and what was asked for and
    is missing.

    \b
    sardonyx exec detect.py cat.jpg
    sardonyx exec -m detector cat.jpg
    sardonyx exec --json report.json detect.py
    """
    first = [("-m", module), ("-c", code)]
    words = [w for flag, value in first if value is not None for w in (flag, value)]
    return execute([*words, *program], report, quiet=quiet, verbose=verbose)
