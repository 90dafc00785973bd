"""`sardonyx check`: is the model valid?"""

from __future__ import annotations

from dataclasses import asdict

import click

from sardonyx.cli.report import Output, speaks
from sardonyx.formats import load
from sardonyx.graph.check import Finding, check
from sardonyx.passes.infer import infer


@click.command()
@click.argument("model")
@click.option("--strict", is_flag=True, help="Warnings count too.")
@speaks
def command(model: str, strict: bool, out: Output) -> int:
    """Say whether a model is valid, and what is wrong with it; exit code 1 when it is not.

    \b
    sardonyx check net.onnx
    """
    graph = load(model)
    found = check(graph)
    if not any(f.is_error for f in found):
        errors = infer(graph, strict=False)
        found += [Finding("error", e.code, e.message, e.node, e.tensor, e.op, e.hint)
                  for e in errors]  # fmt: skip
    bad = any(f.is_error or strict for f in found)
    rows = [asdict(f) for f in found]
    out.data("check", {"valid": not bad, "findings": rows}, lambda: _text(model, found, bad))
    return 1 if bad else 0


def _text(model: str, found: list[Finding], bad: bool) -> str:
    lines = []
    for f in found:
        where = ", ".join(
            f"{k} `{v}`" for k, v in (("node", f.node), ("op", f.op), ("tensor", f.tensor)) if v
        )
        lines.append(f"{f.severity}[{f.code}]: {f.message}")
        if where:
            lines.append(f"  --> {where}")
        lines += [f"  {line}" for line in f.around.splitlines()]
        if f.hint:
            lines.append(f"  help: {f.hint}")
    lines.append(f"{model}: {'not valid' if bad else 'valid'}" + _counts(found))
    return "\n".join(lines)


def _counts(found: list[Finding]) -> str:
    errors = sum(f.is_error for f in found)
    warnings = len(found) - errors
    return f" ({errors} errors, {warnings} warnings)" if found else ""
