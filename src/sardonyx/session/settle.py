"""What session options change in a model before it is prepared."""

from __future__ import annotations

from dataclasses import replace

from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, name_of, substitute
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.formats import save
from sardonyx.formats.onnx import declared_dims, denoted
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.passes.pipeline import optimize
from sardonyx.session.options import GraphOptimizationLevel, SessionOptions
from sardonyx.session.value import OrtValue

_WEIGHTS = "session.optimized_model_external_initializers_"


def settle(graph: Graph, options: SessionOptions) -> None:
    """Fixes symbols and replaces initializers, in place; InvalidArgument for unknown names."""
    for name, value in options.initializers.items():
        _replace(graph, name, value)
    if options.free_dimensions or options.denoted_dimensions:
        _fix(graph, options)


def _replace(graph: Graph, name: str, given: object) -> None:
    value = graph.initializers.get(name)
    if value is None or value.const is None or isinstance(value.const, SparseTensor):
        raise InvalidArgument(
            "E0202", f"the model has no initializer `{name}`", wanted=", ".join(graph.initializers)
        )
    array = (given if isinstance(given, OrtValue) else OrtValue(given)).numpy()
    made = Tensor.of(array)
    old = value.const
    if made.dtype is not old.dtype or made.shape != old.shape:
        raise InvalidArgument(
            "E0203",
            f"the initializer `{name}` has another type or shape",
            tensor=name,
            given=f"{made.dtype}{list(made.shape)}",
            wanted=f"{old.dtype}{list(old.shape)}",
        )
    value.const = made


def _fix(graph: Graph, options: SessionOptions) -> None:
    sizes, words = options.free_dimensions, options.denoted_dimensions
    symbols = {x for v in graph.inputs for dim in v.shape or () for x in dim.free}
    known = {x: const(sizes[name_of(x)]) for x in symbols if name_of(x) in sizes}
    told = declared_dims(graph)
    for v in graph.inputs:
        for dim, name in zip(v.shape or (), told.get(v.name, ()), strict=False):
            if dim.op == "var" and name in sizes:
                known[dim] = const(sizes[str(name)])
    for v, axis, word in denoted(graph):
        dim = (v.shape or ())[axis]
        if word in words and dim.op == "var":
            known[dim] = const(words[word])
    for v in graph.inputs:
        v.type = _fixed(v, known)


def _fixed(v: Value, known: dict[Expr, Expr]) -> Type:
    if v.shape is None:
        return v.type
    return replace(v.type, shape=tuple(substitute(d, known) for d in v.shape))


def write_optimized(graph: Graph, options: SessionOptions) -> None:
    """Saves the optimised model where the options say, and its weights in the file they name."""
    level = GraphOptimizationLevel(options.graph_optimization_level)
    found, path = optimize(graph, level.passes).graph, options.optimized_model_filepath
    name = options.config_entries.get(f"{_WEIGHTS}file_name")
    if not name:
        save(found, path)
        return
    least = int(options.config_entries.get(f"{_WEIGHTS}min_size_in_bytes", "1024"))
    save(found, path, external_data=least, data_file=name)
