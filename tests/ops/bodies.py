"""Running the body that an op's `expand` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import symbol
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.graph.op import Op


def expanded(
    op: Op, arrays: Sequence[Array | None], free: Mapping[int, Sequence[int]]
) -> list[Array] | None:
    """The outputs of the body on arrays, None where there is none.

    The axes free[i] of input i are symbols while the body is written.
    """
    graph, feeds, inputs = (Graph(opsets={"": 25}), dict[str, Array](), list[Value | None]())
    for n, a in enumerate(arrays):
        if a is None:
            inputs.append(None)
            continue
        dims = [symbol(f"d{d}") if axis in free.get(n, ()) else d for axis, d in enumerate(a.shape)]
        value = Value(f"x{n}", tensor_type(DType.from_numpy(a.dtype), dims))
        graph.inputs.append(value)
        feeds[value.name] = a
        inputs.append(value)
    made = op.expand(graph, *inputs)
    if made is None:
        return None
    graph.outputs = list(made)
    found = run(graph, feeds)
    return [found[v.name] for v in made]
