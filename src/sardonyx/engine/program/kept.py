"""The form of a kept program: steps as rows of numbers, and their reading, which trusts nothing.

    { code: [[name, key], ...], texts: [text, ...], exprs: [[op, argument, dtype, operands], ...],
      packed: [[name, dtype, count], ...], steps: [[node, reason] | row, ...] }

A row names everything by its place in a list: values (those of the graph, then the packed ones),
nodes, code, texts, expressions; an expression's operands come before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, walk
from sardonyx.core.operations import OPERATIONS
from sardonyx.core.term import make
from sardonyx.engine.code.link import Unit
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.graph.ir import Graph, Node, Type, Value, captured

if TYPE_CHECKING:
    from sardonyx.engine.fuse.inside import Promise

Kept = tuple[dict[str, str], list[Launch | Host], list[str | None]]
_SCRATCH = 1 << 32
_ARITIES = {"where": 3, "cast": 1}


class Writer:
    """Numbers what the steps of a program name, each thing once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        # An input with a default is among the values twice.
        self._count = sum(1 for _ in graph.values())
        self._values = {v: n for n, v in enumerate(graph.values())}
        self._nodes = {node: n for n, node in enumerate(graph.nodes)}
        self._exprs: dict[Expr, int] = {}
        self._texts: dict[str, int] = {}
        self._rows: list[list[Any]] = []
        self._packed: list[list[Any]] = []

    def whole(
        self, steps: Sequence[Launch | Host], units: Sequence[Unit], keys: Mapping[str, str]
    ) -> bytes:
        """The encoded program; `units` belong to the launches in order, `keys` to their names."""
        code = {name: n for n, name in enumerate(keys)}
        names = iter(units)
        rows = [
            [self._nodes[step.node], self._text(step.reason)]
            if isinstance(step, Host)
            else self._row(step, code[next(names).name])
            for step in steps
        ]
        made = {
            "code": list(keys.items()),
            "texts": list(self._texts),
            "exprs": self._rows,
            "packed": self._packed,
            "steps": rows,
        }
        return json.dumps(made, separators=(",", ":")).encode()

    def _row(self, step: Launch, code: int) -> list[Any]:
        return [
            code,
            [self._value(v) for v in step.params],
            [self._expr(e) for e in step.symbols],
            step.outs,
            [self._nodes[n] for n in step.nodes],
            int(step.once),
            self._text(step.strategy),
            self._expr(step.work),
            step.scratch,
            int(step.parallel),
            [self._nodes[n] for n in dict.fromkeys(p.node for p in step.promises)],
        ]

    def _value(self, v: Value) -> int:
        if v not in self._values:
            assert v.type.dtype is not None
            self._values[v] = self._count + len(self._packed)
            self._packed.append([v.name, v.type.dtype.value, self._expr(v.type.dims[0])])
        return self._values[v]

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _expr(self, e: Expr) -> int:
        if e not in self._exprs:
            for x in walk(e):
                if x not in self._exprs:
                    argument = list(x.arg) if isinstance(x.arg, tuple) else x.arg
                    operands = [self._exprs[a] for a in x.args]
                    self._rows.append([x.op, argument, x.dtype.value, operands])
                    self._exprs[x] = len(self._exprs)
        return self._exprs[e]


def read(content: bytes, graph: Graph) -> Kept:
    """The code by name, the steps, and the code's name for each of them (None for a host step).

    ValueError and its like where the content is not what `Writer` makes for this very graph.
    """
    return _Reader(json.loads(content), graph).whole()


class _Reader:
    def __init__(self, held: dict[str, Any], graph: Graph) -> None:
        self._nodes = graph.nodes
        dims = (d for v in graph.values() for d in (*(v.shape or ()), *(v.type.value or ())))
        self._symbols = {x for d in dims for x in d.free}
        self._texts = [_of(str, text) for text in held["texts"]]
        self._code = [(_of(str, name), _of(str, key)) for name, key in held["code"]]
        self._exprs: list[Expr] = []
        for row in held["exprs"]:
            self._exprs.append(self._expr(*row))
        self._values = list(graph.values())
        for name, dtype, count in held["packed"]:
            size = self._exprs[_place(count, self._exprs)]
            kind = Type(DType(_of(int, dtype)), (size,))
            self._values.append(Value(_of(str, name), kind))
        self._steps = held["steps"]

    def whole(self) -> Kept:
        """See `read`."""
        steps: list[Launch | Host] = []
        names: list[str | None] = []
        for row in self._steps:
            if len(row) == 2:
                steps.append(Host(self._nodes[_place(row[0], self._nodes)], self._text(row[1])))
                names.append(None)
            else:
                steps.append(self._launch(*row[1:]))
                names.append(self._code[_place(row[0], self._code)][0])
        self._covers(steps)
        return dict(self._code), steps, names

    def _covers(self, steps: Sequence[Launch | Host]) -> None:
        """ValueError where a step reads what no step before it made."""
        there = {v for v in self._values if v.producer is None and v.type.dtype is not None}
        there -= {v for s in steps if isinstance(s, Launch) for v in s.made}
        for step in steps:
            made, read = (
                (step.made, step.read)
                if isinstance(step, Launch)
                else ([v for v in step.node.outputs if v], _read(step.node))
            )
            if not there.issuperset(v for v in read if v.type.kind == "tensor"):
                raise ValueError("a value is read before it is made")
            there.update(made)

    def _launch(
        self, params: Any, symbols: Any, outs: Any, nodes: Any, once: Any, strategy: Any,
        work: Any, scratch: Any, parallel: Any, promised: Any,
    ) -> Launch:  # fmt: skip
        given = tuple(self._values[_place(n, self._values)] for n in params)
        if not 0 < _of(int, outs) <= len(given) or not 0 <= _of(int, scratch) < _SCRATCH:
            raise ValueError("a launch that cannot be")
        return Launch(
            None,
            given,
            tuple(self._exprs[_place(n, self._exprs)] for n in symbols),
            outs,
            tuple(self._nodes[_place(n, self._nodes)] for n in nodes),
            bool(_place(once, (0, 1))),
            self._text(strategy),
            self._exprs[_place(work, self._exprs)],
            scratch,
            bool(_place(parallel, (0, 1))),
            tuple(p for n in promised for p in self._promises(_place(n, self._nodes))),
        )

    def _promises(self, number: int) -> list[Promise]:
        """What a node relies on is found again rather than kept: few rely on anything."""
        from sardonyx.engine.fuse.inside import promises  # noqa: PLC0415

        found = promises(self._nodes[number])
        if isinstance(found, str):
            raise TypeError(found)
        return found

    def _text(self, number: Any) -> str:
        found: str = self._texts[_place(number, self._texts)]
        return found

    def _expr(self, op: Any, argument: Any, dtype: Any, operands: Any) -> Expr:
        kind = DType(_of(int, dtype))
        if op == "const":
            return const(_of(int, argument) if kind.is_int else argument, kind)
        args = tuple(self._exprs[_place(n, self._exprs)] for n in operands)
        arg = tuple(argument) if isinstance(argument, list) else argument
        if op == "var":
            found = make("var", (), arg, kind)
            if found not in self._symbols:
                raise ValueError("a symbol that the model does not have")
            return found
        arity = _ARITIES.get(op) or OPERATIONS[op].arity
        if len(args) < arity or any(a.dtype.is_string or a.dtype.is_complex for a in args):
            raise ValueError("an expression that cannot be")
        return make(op, args, arg, kind)


def _read(node: Node) -> list[Value]:
    return [v for v in (*node.inputs, *captured(node)) if v is not None]


def _place(number: Any, among: Sequence[Any]) -> int:
    """A place in a list."""
    if not 0 <= _of(int, number) < len(among):
        raise ValueError("a number that names nothing")
    return int(number)


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} is wanted")
    return value
