"""`sardonyx check`: is the model valid?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import click

from sardonyx.api import check
from sardonyx.cli import options
from sardonyx.cli.data import open_model
from sardonyx.cli.findings import github, sarif
from sardonyx.cli.output import Output, speaks
from sardonyx.convert import contract_of, replay
from sardonyx.core.codes import explanations
from sardonyx.core.errors import UsageError
from sardonyx.core.escape import dumps, sanitise
from sardonyx.core.near import near
from sardonyx.formats.runtimes import unfit
from sardonyx.graph.check import Finding
from sardonyx.graph.ir import Graph
from sardonyx.graph.origin import source_line


@click.command()
@click.argument("model")
@click.option("--strict", is_flag=True, help="Warnings count too.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text",
    show_default=True, help="sarif for code scanning, github for annotations in a workflow.",
)  # fmt: skip
@click.option(
    "--select", metavar="CODES", default="", help="Only these codes, or their beginnings."
)
@click.option("--ignore", metavar="CODES", default="", help="Not these codes, or their beginnings.")
@click.option(
    "--contract", is_flag=True, help="Whether it still answers as the model it was converted from."
)
@options.provider
@click.option("--for", "runtime", metavar="RUNTIME", help="A runtime too, as onnxruntime==1.22.")
@speaks
def command(
    model: str,
    strict: bool,
    form: str,
    select: str,
    ignore: str,
    runtime: str | None,
    contract: bool,
    provider: str,
    out: Output,
) -> int:
    """Say whether a model is valid, and what is wrong with it; exit code 1 when it is not.

    \b
    sardonyx check net.onnx
    sardonyx check net.onnx --strict --json
    sardonyx check net.onnx --for onnxruntime==1.22
    sardonyx check net.onnx --contract --provider onnxruntime
    sardonyx check net.onnx --format sarif > net.sarif
    sardonyx check net.onnx --ignore E0304,E04
    """
    wanted, dropped = _codes(select), _codes(ignore)
    graph = open_model(model)
    if contract:
        return _replayed(model, graph, provider, out)
    found = [*check(graph), *(unfit(graph, runtime) if runtime else ())]
    found = [f for f in found if _is_asked(f.code, wanted, dropped)]
    lines = {n.name: source_line(n) for n in graph.nodes if n.name}
    bad = any(f.is_error or strict for f in found)
    if form == "sarif":
        click.echo(dumps(sarif(model, found)))
    elif form == "github":
        click.echo("".join(f"{github(model, f)}\n" for f in found), nl=False)
    else:
        out.json = out.json or form == "json"
        rows = [{**asdict(f), "source": lines.get(f.node or "")} for f in found]
        out.data(
            "check",
            {"model": model, "valid": not bad, "findings": rows},
            lambda: _text(model, found, lines, bad, out),
        )
    return 1 if bad else 0


def _replayed(model: str, graph: Graph, provider: str, out: Output) -> int:
    found = replay(graph, provider)
    told = {"model": model, "kept": found.agree, "contract": contract_of(graph).to_dict()}
    out.data("check", {**told, "comparison": found.to_dict()}, lambda: found)
    return 0 if found.agree else 1


def _codes(text: str) -> tuple[str, ...]:
    """Codes or their beginnings, of which each must be that of some code."""
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in given:
        if not any(code.startswith(part) for code in explanations()):
            raise UsageError(
                "E0904", "no code begins so", given=part, hint=near(part, explanations())
            )
    return given


def _is_asked(code: str, wanted: tuple[str, ...], dropped: tuple[str, ...]) -> bool:
    return (not wanted or code.startswith(wanted)) and not (dropped and code.startswith(dropped))


def _text(
    model: str, found: list[Finding], sources: Mapping[str, str | None], bad: bool, out: Output
) -> str:
    lines = []
    for f in found if not out.quiet else [f for f in found if f.is_error]:
        lines += _finding(f, sources.get(f.node or ""))
    lines.append(f"{sanitise(model)}: {'not valid' if bad else 'valid'}{_counts(found)}")
    return "\n".join(lines)


def _finding(f: Finding, source: str | None) -> list[str]:
    lines = [f"{f.severity}[{f.code}]: {sanitise(f.message)}"]
    places = (("node", f.node), ("op", f.op), ("tensor", f.tensor))
    where = ", ".join(f"{kind} `{sanitise(name)}`" for kind, name in places if name)
    if where:
        lines.append(f"  --> {where}")
    if source:
        lines.append(f"   at {sanitise(source)}")
    lines += [f"  {sanitise(line)}" for line in f.around.splitlines()]
    if f.hint:
        lines.append(f"  help: {sanitise(f.hint)}")
    return lines


def _counts(found: list[Finding]) -> str:
    errors = sum(f.is_error for f in found)
    warnings = len(found) - errors
    parts = [_count(errors, "error"), _count(warnings, "warning")]
    said = ", ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}" if n else ""
