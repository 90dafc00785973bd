"""Which models other runtimes load: the newest opset and IR version that each release takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from sardonyx.core.errors import UsageError
from sardonyx.formats.onnx import info
from sardonyx.graph.check import Finding
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.functions import called
from sardonyx.graph.ir import Graph
from sardonyx.graph.op import domain_of


class Release(NamedTuple):
    """The newest opset of ai.onnx and the newest IR version that a release loads."""

    opset: int
    ir: int


# Found by loading a model of every opset and IR version in the wheel of each release.
ONNX_RUNTIME = {
    (1, 19): Release(21, 10),
    (1, 20): Release(21, 10),
    (1, 21): Release(22, 10),
    (1, 22): Release(22, 10),
    (1, 23): Release(23, 11),
    (1, 24): Release(25, 13),
    (1, 25): Release(26, 13),
    (1, 26): Release(26, 13),
    (1, 27): Release(26, 13),
    (1, 28): Release(26, 13),
    (1, 29): Release(26, 13),
    (1, 30): Release(26, 13),
    (1, 31): Release(26, 13),
    (1, 32): Release(28, 14),
}
_DOMAINS = {"", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft"}


def unfit(graph: Graph, runtime: str) -> list[Finding]:
    """Why `onnxruntime==1.22` or the like would not load a model; [] where it would.

    Only versions and domains are looked at: not whether the release has a kernel for every type.
    UsageError for a runtime or a release that is not known.
    """
    release, name = _release(runtime)
    found = [
        Finding("error", "E0348", f"{name} {said}", hint=hint)
        for said, hint in _versions(graph, release)
    ]
    strange = {
        domain_of(node.op): node
        for body in bodies(graph)
        for node in body
        if domain_of(node.op) not in _DOMAINS and called(node.op, graph.functions) is None
    }
    return found + [
        Finding(
            "error",
            "E0348",
            f"{name} has no operators of `{domain}`",
            node=node.name,
            op=node.op.op_type,
            hint="save the model with the operator as a function, or register it there",
        )
        for domain, node in strange.items()
    ]


def _versions(graph: Graph, release: Release) -> Iterator[tuple[str, str]]:
    opset, ir = graph.opsets.get("", 0), info(graph).ir_version
    if opset > release.opset:
        said = f"takes opset {release.opset} at most, this is {opset}"
        yield said, f"export it for opset {release.opset}"
    if ir > release.ir:
        said = f"takes IR version {release.ir} at most, this is {ir}"
        yield said, f"save it with IR version {release.ir}"


def _release(runtime: str) -> tuple[Release, str]:
    match = re.fullmatch(r"(onnxruntime)(?:==(\d+)\.(\d+)(?:\.\d+)*)?", runtime.strip())
    newest = max(ONNX_RUNTIME)
    version = (int(match[2]), int(match[3])) if match and match[2] else newest
    if match is None or version not in ONNX_RUNTIME:
        known = ", ".join(f"{a}.{b}" for a, b in ONNX_RUNTIME)
        raise UsageError("E0917", "no such runtime", given=runtime, wanted=f"onnxruntime=={known}")
    return ONNX_RUNTIME[version], f"onnxruntime {version[0]}.{version[1]}"
