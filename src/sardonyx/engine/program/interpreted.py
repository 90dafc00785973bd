"""Steps run by the meaning of their kernels instead of machine code: slow, every access checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import evaluate
from sardonyx.engine.fuse.fuse import Computed, Host, Step
from sardonyx.engine.fuse.launches import Launch
from sardonyx.engine.native.memory import logical, ordered
from sardonyx.engine.program.told import check_results
from sardonyx.graph.bind import bind
from sardonyx.graph.evaluate import Walk
from sardonyx.graph.ir import Graph, Value, captured
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret

_RUBBISH = 0xFB


class Interpreted:
    """One run of a prepared graph's steps on arrays in the order of its inputs.

    The kernels may be of any stage. `threads` threads run one after another, each its share of a
    parallel loop. Memory starts as rubbish. EngineError E0801 for a malformed kernel, E0806 for an
    access outside its buffer; what `walk` raises.
    """

    def __init__(self, graph: Graph, feeds: Sequence[Any], walk: Walk, threads: int = 1) -> None:
        self.graph, self.walk, self.threads = graph, walk, threads
        self.memory: dict[Value, Any] = dict(zip(graph.inputs, feeds, strict=True))
        shapes = {v.name: x.shape for v, x in self.memory.items() if isinstance(x, np.ndarray)}
        self.env = dict(bind(graph.inputs, shapes, graph.assumed))

    def run(self, steps: Sequence[Step | Launch]) -> list[Any]:
        """The outputs."""
        for step in steps:
            self.walk.permit()
            if isinstance(step, Host):
                self._host(step)
            else:
                self._kernel(step)
        return [self._read(v) for v in self.graph.outputs]

    def _kernel(self, step: Computed | Launch) -> None:
        assert step.kernel is not None
        check(step.kernel)
        for v in step.params[: step.outs]:
            self.memory[v] = self._rubbish(v)
        read = ((self._read(v), v.layout) for v in step.params)
        flat = [(a if order is None else a.transpose(order)).reshape(-1) for a, order in read]
        interpret(step.kernel, flat, [evaluate(e, self.env) for e in step.symbols], self.threads)

    def _rubbish(self, v: Value) -> Array:
        assert v.type.dtype is not None
        kind = v.type.dtype.numpy
        shape = tuple(evaluate(d, self.env) for d in v.type.dims)
        if v.type.dtype is DType.BOOL:
            return logical(shape, v.layout, lambda dims: np.ones(dims, kind))
        self.walk.limits.check_tensor(v.type.dtype, shape, v.name)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        found: Array = np.full(size, _RUBBISH, np.uint8).view(kind)
        return logical(shape, v.layout, found.reshape)

    def _read(self, v: Value) -> Any:
        if v not in self.memory:
            assert v.const is not None, v.name
            self.memory[v] = np.ascontiguousarray(v.const.numpy())
        return self.memory[v]

    def _host(self, step: Host) -> None:
        node = step.node
        arrays = [None if v is None else self._read(v) for v in node.inputs]
        env = {v: self._read(v) for v in captured(node)}
        results = self.walk.apply(node, arrays, env)
        check_results(node, results, self.env, self.graph)
        for v, result in zip(node.outputs, results, strict=False):
            if v is not None:
                made = isinstance(result, np.ndarray)
                self.memory[v] = ordered(result, v.layout) if made else result
                for dim, size in zip(
                    v.type.shape or (), getattr(result, "shape", ()), strict=False
                ):
                    if dim.op == "var":
                        self.env.setdefault(dim, size)
