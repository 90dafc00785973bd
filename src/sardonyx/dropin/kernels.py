"""Which operators can run, as ONNX Runtime lists its kernels and schemas."""

from __future__ import annotations

import types
from dataclasses import dataclass

import sardonyx.ops  # noqa: F401 - importing it makes the operators known
from sardonyx.graph.op import registered

_LAST = 2**31 - 1


@dataclass(frozen=True)
class OpSchema:
    """A version of an operator."""

    name: str
    domain: str
    since_version: int
    doc: str


@dataclass(frozen=True)
class KernelDef:
    """An operator that a provider runs, and the versions, the first to the last."""

    op_name: str
    domain: str
    version_range: tuple[int, int]
    provider: str = "CPUExecutionProvider"


schemadef = types.SimpleNamespace(OpSchema=OpSchema)
opkernel = types.SimpleNamespace(KernelDef=KernelDef)


def get_all_operator_schema() -> list[OpSchema]:
    """Every version of every operator that is known."""
    return [
        OpSchema(name, domain, since, op.__doc__ or "")
        for (domain, name), versions in sorted(registered().items())
        for since, op in sorted(versions.items())
    ]


def get_all_opkernel_def() -> list[KernelDef]:
    """The versions that can run; each lasts until the next."""
    found = []
    for (domain, name), versions in sorted(registered().items()):
        starts = sorted(versions)
        for since, until in zip(starts, [n - 1 for n in starts[1:]] + [_LAST], strict=True):
            found.append(KernelDef(name, domain, (since, until)))
    return found
