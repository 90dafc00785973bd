"""What an exporter wrote, made fit to be called a model: valid, with the dims asked for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from linecache import getline

from sardonyx.convert.functions import keep_functions
from sardonyx.convert.source import Controls, Exported, Fixed, Input, Source
from sardonyx.core.errors import ConvertError, InvalidGraph, SardonyxError, UsageError
from sardonyx.core.expr import symbol
from sardonyx.core.limits import Limits
from sardonyx.formats import load
from sardonyx.graph.check import check
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.graph.op import Opaque, domain_of
from sardonyx.graph.origin import STACK, is_exporter
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import inlined
from sardonyx.passes.version import raise_refusals, upgrade

_CALL = re.compile(r"^(.+)\((\d+)\): (\S+)$", re.MULTILINE)
KEPT = ("inside", "outside", "inputs")


def checked(source: Source, made: Exported, controls: Controls, limits: Limits | None) -> Graph:
    """The exported model with inferred types, at the opset and by the names asked for.

    ConvertError: E0606 where it is not valid, E0603 where a dim became fixed or an input vanished.
    """
    graph = load(made.model, limits)
    graph.source = ""
    _name_symbols(source.inputs, graph)
    try:
        _check(graph, limits)
    except SardonyxError as error:
        said = f"the exporter wrote a model that is not valid: {error.message}"
        raise ConvertError("E0606", said, node=error.node, op=error.op) from error
    _keep_lines(graph)
    _name_inputs(source.inputs, graph)
    _check_inputs(source.inputs, graph, made.fixed)
    graph = _at_opset(graph, controls.opset)
    if controls.functions:
        keep_functions(graph, controls.functions)
    _name_outputs(graph, controls.output_names or made.outputs)
    if controls.parameters == "inputs":
        graph.inputs += [v for v in graph.initializers.values() if v not in graph.inputs]
    elif controls.parameters not in (None, *KEPT):
        raise UsageError(
            "E0612", f"parameters cannot be {controls.parameters}", wanted=", ".join(KEPT)
        )
    return graph


def _keep_lines(graph: Graph) -> None:
    """The stacks that TorchScript writes as a node's words, as those that `graph.origin` reads."""
    for node in graph.nodes:
        found = _CALL.findall(node.doc)
        if found and STACK not in node.meta:
            inside = itertools.takewhile(lambda call: not is_exporter(call[0]), found)
            lines = [
                f'File "{path}", line {n}, in {name}\n    {getline(path, int(n)).strip()}'
                for path, n, name in reversed([*inside])
            ]
            node.meta[STACK], node.doc = "\n".join(lines), ""


def _name_inputs(inputs: Sequence[Input], graph: Graph) -> None:
    """The names asked for, in order, where the exporter made up others."""
    fed = [v for v in graph.inputs if v.const is None]
    names = [i.name for i in inputs]
    taken = {v.name for v in graph.values()} - {v.name for v in fed}
    known = {v.name for v in fed}
    if len(fed) == len(names) and known != set(names) and taken.isdisjoint(names):
        for v, name in zip(fed, names, strict=True):
            v.name = name


def _name_symbols(inputs: Sequence[Input], graph: Graph) -> None:
    """Open dims of inputs get the names asked for, where the exporter made up others."""
    asked = {i.name: i for i in inputs}
    for v in graph.inputs:
        one = asked.get(v.name)
        if one is None or v.shape is None or len(v.shape) != len(one.dims):
            continue
        pairs = zip(v.shape, one.dims, strict=True)
        dims = [d if d.is_const or isinstance(name, int) else symbol(name) for d, name in pairs]
        v.type = tensor_type(one.dtype if v.dtype is None else v.dtype, dims)


def _check(graph: Graph, limits: Limits | None) -> None:
    """Raises the first error; every value gets the type that follows from its operator, which
    exporters know less of.
    """
    for finding in check(graph, limits=limits):
        if finding.is_error:
            raise finding.error()
    for node in graph.nodes:
        if isinstance(node.op, Opaque) and not domain_of(node.op):
            said = f"`{node.op.kind}` is no operator of ONNX: the exporter has no words for it"
            raise InvalidGraph("E0401", said, node=node.name, op=node.op.kind)
    found = inlined(graph) if graph.functions else clone(graph)
    infer(found, limits=limits)
    known = {v.name: v.type for v in found.values()}
    for v in graph.values():
        v.type = known.get(v.name, v.type)


def _check_inputs(inputs: Sequence[Input], graph: Graph, fixed: Sequence[Fixed]) -> None:
    given = {v.name: v for v in graph.inputs}
    for one in inputs:
        value = given.get(one.name)
        if value is None:
            raise ConvertError(
                "E0603",
                f"the exported model has no input `{one.name}`: the model does not use it",
                tensor=one.name,
                hint=f"leave --input {one.name}=... out",
            )
        _check_dims(one, value, fixed)


def _check_dims(asked: Input, value: Value, fixed: Sequence[Fixed]) -> None:
    for axis, (name, dim) in enumerate(zip(asked.dims, value.shape or (), strict=False)):
        if isinstance(name, int) or not dim.is_const:
            continue
        why = [f.source for f in fixed if (asked.name, axis) in f.axes]
        raise ConvertError(
            "E0603",
            f"`{name}` of the input `{asked.name}` became {dim.arg} in the export: "
            "the model's code works for that size only",
            tensor=asked.name,
            given=value.type,
            wanted=str(asked.spec),
            source=why[-1] if why else None,
            hint="make the code follow the input's size (x.reshape(x.shape[0], -1) instead of "
            f"x.reshape(3, -1)), or give a number for `{name}` in --input",
        )


def _at_opset(graph: Graph, opset: int | None) -> Graph:
    if opset is None or graph.opsets.get("") == opset:
        return graph
    moved = upgrade(graph, opset)
    raise_refusals(moved.log)
    return moved.graph


def _name_outputs(graph: Graph, names: Sequence[str]) -> None:
    if not names:
        return
    if len(names) != len(graph.outputs):
        found = ", ".join(v.name for v in graph.outputs)
        raise UsageError(
            "E0612", f"{len(names)} names for {len(graph.outputs)} outputs", given=found
        )
    taken = {v.name for v in graph.values()} - {v.name for v in graph.outputs}
    twice = [n for n in names if n in taken or names.count(n) > 1]
    if twice:
        raise UsageError("E0612", f"the name `{twice[0]}` is taken")
    for v, name in zip(graph.outputs, names, strict=True):
        v.name = name
