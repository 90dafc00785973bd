"""`python -m sardonyx.dropin PROGRAM …`: what `sardonyx exec` does, without the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sardonyx.core.errors import SardonyxError
from sardonyx.dropin.execute import execute


def main() -> int:
    """Runs the program that the arguments name; its exit code."""
    rest = argparse.REMAINDER
    parser = argparse.ArgumentParser("python -m sardonyx.dropin", description=execute.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no report")
    parser.add_argument("-m", nargs=rest, dest="module", metavar="MODULE")
    parser.add_argument("-c", nargs=rest, dest="code", metavar="CODE")
    parser.add_argument("program", nargs=rest)
    given = parser.parse_args()
    program = given.program
    for flag, words in (("-m", given.module), ("-c", given.code)):
        program = program if words is None else [flag, *words]
    try:
        return execute(program, given.json, quiet=given.quiet)
    except SardonyxError as error:
        sys.stderr.write(error.render() + "\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
