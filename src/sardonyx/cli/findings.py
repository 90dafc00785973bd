"""Findings about a model as SARIF and as annotations of GitHub's workflows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sardonyx.core.codes import explanations
from sardonyx.core.version import __version__
from sardonyx.graph.check import Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(model: str, findings: Iterable[Finding]) -> dict[str, Any]:
    """A log of SARIF 2.1.0 (OASIS) with one run; nodes and values are logical locations."""
    found = list(findings)
    codes = sorted({f.code for f in found})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": explanations()[code].title},
            "fullDescription": {"text": explanations()[code].meaning},
            "help": {"text": explanations()[code].mend},
        }
        for code in codes
    ]
    driver = {"name": "sardonyx", "version": __version__, "rules": rules}
    results = [_result(model, f, codes.index(f.code)) for f in found]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(model: str, finding: Finding, rule: int) -> dict[str, Any]:
    named = (("node", finding.node), ("variable", finding.tensor))
    logical = [{"name": name, "kind": kind} for kind, name in named if name]
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": model}}}
    if logical:
        place["logicalLocations"] = logical
    text = f"{finding.message}; {finding.hint}" if finding.hint else finding.message
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": text},
        "locations": [place],
    }


def github(model: str, finding: Finding) -> str:
    """A workflow command: an annotation of the model's file."""
    where = ", ".join(
        f"{kind} {name}"
        for kind, name in (("node", finding.node), ("op", finding.op), ("tensor", finding.tensor))
        if name
    )
    said = f"{finding.message} ({where})" if where else finding.message
    properties = f"file={_property(model)},title={_property(finding.code)}"
    return f"::{finding.severity} {properties}::{_data(said)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
