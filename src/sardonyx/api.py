"""The verbs of the Python API, for models in any form that `load` accepts."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

from sardonyx.checker import check as check_graph
from sardonyx.compare import Comparison
from sardonyx.compare import compare as compare_sides
from sardonyx.convert import convert as convert
from sardonyx.convert import is_place, side_of
from sardonyx.core.limits import Limits
from sardonyx.formats import Loadable, load
from sardonyx.formats import save as save_graph
from sardonyx.gradient import with_gradients
from sardonyx.graph.check import Finding
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import from_text as from_text
from sardonyx.graph.text import to_text as to_text
from sardonyx.passes import pipeline, version
from sardonyx.passes.portable import portable
from sardonyx.quantize import quantize as quantize

Source: TypeAlias = "Loadable | Graph"


def graph_of(model: Source, limits: Limits | None = None) -> Graph:
    """The graph itself, or the loaded one."""
    return model if isinstance(model, Graph) else load(model, limits)


def check(model: Source, *, limits: Limits | None = None) -> list[Finding]:
    """Everything that is wrong or odd about a model, errors first; [] when there is nothing.

    Errors are what the standard refuses. Structure first; where that holds, the types of every
    node's inputs and outputs too. Raises what loading raises for bytes that are no model, and
    LimitExceeded.
    """
    budget = limits or Limits.current()
    return check_graph(graph_of(model, budget), budget)


def save(
    model: Source,
    path: str | os.PathLike[str],
    *,
    external_data: bool | int | None = None,
    data_file: str | None = None,
) -> None:
    """Write the model to `path`, as ONNX unless its suffix is another format's.

    Operators of other packages are written as functions of the model where they have a body of
    others or are a formula of one element, so that any runtime has them. Nothing half-written is
    ever seen.

    `external_data`: None leaves each tensor inside or outside as it came, True moves tensors of
    1 KiB and more to `<path>.data`, a number those of that many bytes, False keeps all inside.
    `data_file` is another name for that file, beside a model that is then ONNX.
    NoSuchFile (E0103) when the target cannot be written, LimitExceeded (E0105) beyond 2 GiB.
    """
    made = portable(graph_of(model))
    save_graph(made, path, external_data=external_data, data_file=data_file)


def optimize(
    model: Source, level: str = "all", *, opset: int | None = None, limits: Limits | None = None
) -> Graph:
    """An equal model that runs faster, in standard ONNX; `model` stays as it is.

    `level` is basic (exact changes), extended or all (changes within rounding too). `opset` raises
    the model's version of the standard: InvalidArgument (E0347) for an older or unknown one,
    NotImplemented (E0346) where an operator cannot follow.
    """
    return pipeline.optimize(graph_of(model, limits), level, opset=opset).graph


def upgrade(
    model: Source, *, opset: int | None = None, ml: int | None = None, limits: Limits | None = None
) -> Graph:
    """The same model at another opset of ai.onnx, older or newer, the newest if none is given.

    `ml` is that of ai.onnx.ml, which otherwise stays, or falls to the one released with an older
    `opset`. Raises InvalidArgument (E0347) for an opset that there is not, and NotImplemented
    (E0346) with the reason where a node cannot be expressed.
    """
    made = version.upgrade(graph_of(model, limits), opset, ml)
    version.raise_refusals(made.log)
    return made.graph


def gradient(
    model: Source,
    wrt: Sequence[str] | None = None,
    of: str | Sequence[str] | None = None,
    *,
    limits: Limits | None = None,
) -> Graph:
    """The model with its derivatives as further outputs: `NAME.grad` for every name in `wrt`.

    They are those of the sum of all elements of the values `of`, the first output if none is
    named: a loss. `wrt` are inputs, initializers or other values; without it all inputs and
    initializers of floats that `of` depends on, single numbers among the initializers left out.
    The nodes that compute them are the standard's, so that any runtime runs the model; below opset
    18 it is raised to that first. Raises InvalidArgument for names that the model does not have or
    that are no tensors of floats, UnsupportedOperator (E0406) with the operators that no
    derivative goes through.
    """
    return with_gradients(graph_of(model, limits), wrt, of)


@functools.wraps(compare_sides)
def compare(a: Any, b: Any = None, **options: Any) -> Comparison:
    """See `sardonyx.compare.compare`; a side may be a place such as `net.py:build` too."""
    return compare_sides(_side(a), _side(b), **options)


def _side(one: Any) -> Any:
    return side_of(one) if isinstance(one, str) and is_place(one) else one
