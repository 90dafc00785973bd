"""What is computed alike: equal nodes, and values whose whole computation has one form.

Models repeat themselves. What a node or a value becomes follows from the operators, the types and
how they hang together, so it is made once for each form, and others differ in their buffers only.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass, field

from sardonyx.core.expr import Expr
from sardonyx.graph.ir import Node, Value
from sardonyx.graph.op import exactly
from sardonyx.loops.build import Closed
from sardonyx.loops.ir import Kernel


def form_of_node(node: Node) -> Hashable:
    """The operator, and the types of what it reads and makes."""
    read = [v and v.type for v in node.inputs]
    return (exactly(node.op), *read, *[v and v.type for v in node.outputs])


def form_of_value(v: Value, stored: Container[Value]) -> tuple[Hashable, list[Value]]:
    """How a value is computed from stored ones, and the values in it, itself first."""
    numbers: dict[Value | None, int] = {None: -1, v: 0}
    values = [v]
    rows: list[Hashable] = []
    for x in values:
        node = x.producer
        if node is None or (x is not v and x in stored):
            rows.append((x.type, x.layout))
            continue
        for i in node.inputs:
            if i not in numbers:
                assert i is not None
                numbers[i] = len(values)
                values.append(i)
        read = tuple([numbers[i] for i in node.inputs])
        rows.append((x.type, x.layout, exactly(node.op), node.outputs.index(x), read))
    return tuple(rows), values


@dataclass
class Forms:
    """The kernels made so far, by form; equal kernels are one object."""

    known: dict[Hashable, tuple[Kernel, tuple[int, ...], tuple[Expr, ...]]] = field(
        default_factory=dict
    )
    kernels: dict[Kernel, Kernel] = field(default_factory=dict)

    def kernel(
        self, form: Hashable, values: Sequence[Value], key: Callable[[Value], str],
        make: Callable[[], Closed | None],
    ) -> tuple[Kernel, tuple[Value, ...], tuple[Expr, ...]]:  # fmt: skip
        """The kernel of a form, the values behind its parameters, and the dims of its symbols.

        `make` is asked where the form is new; it names each of `values` by `key`.
        """
        known = self.known.get(form)
        if known is None:
            made = make()
            assert made is not None
            places = {key(v): n for n, v in enumerate(values)}
            kernel = self.kernels.setdefault(made.kernel, made.kernel)
            known = kernel, tuple([places[k] for k in made.params]), made.symbols
            self.known[form] = known
        kernel, numbers, symbols = known
        return kernel, tuple([values[n] for n in numbers]), symbols
