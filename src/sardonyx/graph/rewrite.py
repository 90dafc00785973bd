"""Changing graphs: named rules driven to a fixpoint, passes, and pipelines of passes.

    Rule     := name, match(node, graph) -> replacement | reason | None
    Pass     := name, run(graph, log)                   in place, meaning kept
    Pipeline := passes, run one after another, each dumped and verified on request

A rule that fires appends its nodes to the graph and returns the values that stand for the node's
outputs; the driver rewires, keeps names of graph outputs and the node's metadata, and removes what
nobody reads any more. What matched and what refused, and why, is in the `Log`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sardonyx.core.errors import InternalError
from sardonyx.graph.ir import Graph, Node, Value, subgraphs
from sardonyx.graph.op import Op, Trait, find

Replacement: TypeAlias = "Value | tuple[Value | None, ...]"
Match: TypeAlias = "Callable[[Node, Graph], Replacement | str | None]"

# Rewrites allowed for each node before a set of rules is said not to end: several times what any
# node of the reference models takes.
_ROUNDS = 40


@dataclass(frozen=True)
class Record:
    """What one rule or pass did with one node; `reason` says why it refused, "" that it fired."""

    rule: str
    node: str
    op: str
    reason: str = ""


@dataclass
class Log:
    """What a run of passes did, in order."""

    records: list[Record] = field(default_factory=list)

    def fired(self, rule: str, node: Node) -> None:
        """Notes that a rule changed the graph at a node."""
        self.records.append(Record(rule, node.name, node.op.op_type))

    def refused(self, rule: str, node: Node, reason: str) -> None:
        """Notes that a rule looked at a node and left it."""
        self.records.append(Record(rule, node.name, node.op.op_type, reason))

    @property
    def changes(self) -> list[Record]:
        """The records of rules that fired."""
        return [r for r in self.records if not r.reason]

    def counts(self) -> dict[str, int]:
        """How often each rule fired."""
        return dict(Counter(r.rule for r in self.changes))

    def of(self, node: str) -> list[Record]:
        """What was done about the node of that name."""
        return [r for r in self.records if r.node == node]


@dataclass(frozen=True)
class Rule:
    """A named rewriting of single nodes; `ops` (names of ai.onnx, traits) is what it looks at, none
    for all.

    `match` returns the value (or tuple, one per output) that replaces the node's outputs, after
    appending what makes them; or a text saying why not; or None where it has nothing to say.
    A graph output it returns as it is (`node.outputs[0]`) means: changed in place.
    """

    name: str
    match: Match
    ops: tuple[str | Trait, ...] = ()

    def looks_at(self, op: Op) -> bool:
        """Whether it is about such an operator."""
        names = (o in op.traits if isinstance(o, Trait) else op.standard(o) for o in self.ops)
        return not self.ops or any(names)


def rule(name: str, *ops: str | Trait) -> Callable[[Match], Rule]:
    """Makes a Rule of a match function."""
    return lambda match: Rule(name, match, ops)


@dataclass(frozen=True)
class Pass:
    """A named change of a graph, in place, that keeps its meaning."""

    name: str
    run: Callable[[Graph, Log], None]

    def __call__(self, graph: Graph) -> Log:
        """Runs the pass alone."""
        log = Log()
        self.run(graph, log)
        return log


@dataclass(frozen=True)
class Pipeline:
    """Passes in order; `dump(name, graph)` sees the graph after each, `verify(graph)` too."""

    passes: tuple[Pass, ...]

    def run(
        self,
        graph: Graph,
        *,
        log: Log | None = None,
        dump: Callable[[str, Graph], None] | None = None,
        verify: Callable[[Graph], None] | None = None,
    ) -> Log:
        """Runs the passes on the graph, in place."""
        log = log if log is not None else Log()
        for step in self.passes:
            step.run(graph, log)
            if verify is not None:
                verify(graph)
            if dump is not None:
                dump(f"pass:{step.name}", graph)
        return log


def apply(rules: Sequence[Rule], graph: Graph, log: Log) -> None:
    """Applies rules to a graph and its subgraphs until none fires; the graph ends up sorted."""
    each_body(graph, lambda body: _Driver(body, rules, log).run())


def each_body(graph: Graph, change: Callable[[Graph], None]) -> None:
    """Runs `change` on every subgraph, innermost first, then on the graph, keeping uses right."""
    for node in graph.nodes:
        inner = subgraphs(node.op)
        for body in inner:
            each_body(body, change)
        if inner:
            graph.recount(node)
    change(graph)


class _Driver:
    """The worklist over one graph."""

    def __init__(self, graph: Graph, rules: Iterable[Rule], log: Log) -> None:
        self.graph, self.log = graph, log
        self.rules = tuple(rules)
        self.by_op: dict[tuple[type[Op], str], tuple[Rule, ...]] = {}
        self.queue = deque(graph.nodes)
        self.queued = set(self.queue)
        self.outputs = Counter(graph.outputs)
        self.refusals: dict[tuple[str, Node], str] = {}
        self.fuel = _ROUNDS * len(self.queue) + 1000

    def run(self) -> None:
        """Until the worklist is empty."""
        changed = False
        while self.queue:
            node = self.queue.popleft()
            self.queued.discard(node)
            if node in self.graph:
                changed = self.visit(node) or changed
        for (name, node), reason in self.refusals.items():
            self.log.refused(name, node, reason)
        if changed:
            self.graph.sort()

    def visit(self, node: Node) -> bool:
        """Tries every rule on a node; whether one fired."""
        if self.is_dead(node):
            self.drop(node)
            return True
        kind = type(node.op), node.op.op_type
        if kind not in self.by_op:
            self.by_op[kind] = tuple(r for r in self.rules if r.looks_at(node.op))
        for one in self.by_op[kind]:
            before = len(self.graph)
            found = one.match(node, self.graph)
            if found is None:
                continue
            if isinstance(found, str):
                self.refusals[one.name, node] = found
                continue
            given = found if isinstance(found, tuple) else (found,)
            if not self.changes(node, given):
                continue
            self.fuel -= 1
            if self.fuel < 0:
                said = f"the rule `{one.name}` does not come to an end"
                raise InternalError("E0340", said, node=node.name, op=node.op.op_type)
            self.refusals.pop((one.name, node), None)
            self.log.fired(one.name, node)
            self.adopt(node, given, before)
            return True
        return False

    def changes(self, node: Node, found: tuple[Value | None, ...]) -> bool:
        """Whether somebody reads what is to be replaced, or the node was changed in place."""
        for old, new in zip(node.outputs, found, strict=False):
            if old is not None and new is not None:
                if new is old or old.uses or old in self.outputs:
                    return True
        return False

    def adopt(self, node: Node, found: tuple[Value | None, ...], before: int) -> None:
        """Puts the found values in place of the node's outputs.

        What is made for a node without a name has none: names must differ.
        """
        fresh = self.graph.since(before)
        for i, made in enumerate(fresh):
            made.meta = made.meta or dict(node.meta)
            part = f"{node.name}.{i}" if node.name and i < len(fresh) - 1 else node.name
            made.name = made.name or part
            self.push(made)
        for old, new in zip(node.outputs, found, strict=False):
            if old is not None and new is not None and new is not old:
                for user in old.uses:
                    self.push(user)
                substitute(self.graph, old, new, self.outputs)
                if new.producer is not None:
                    self.push(new.producer)
        if self.is_dead(node):
            self.drop(node)
        else:
            self.push(node)

    def push(self, node: Node) -> None:
        """Has a node looked at again."""
        if node not in self.queued and node in self.graph:
            self.queued.add(node)
            self.queue.append(node)

    def is_dead(self, node: Node) -> bool:
        """Whether nobody reads any output."""
        return all(v is None or (not v.uses and v not in self.outputs) for v in node.outputs)

    def drop(self, node: Node) -> None:
        """Removes a dead node, and has its neighbours looked at again."""
        self.graph.remove(node)
        for v in node.inputs:
            if v is not None:
                if v.producer is not None:
                    self.push(v.producer)
                if len(v.uses) == 1:
                    self.push(next(iter(v.uses)))


def substitute(graph: Graph, old: Value, new: Value, outputs: Counter[Value]) -> None:
    """Makes all readers of `old` read `new`; a graph output keeps its name.

    `outputs` counts the graph's outputs and is kept current. Where `new` cannot take the name (an
    input, an initializer, an outer value, another output) an Identity gives the output.
    """
    if old not in outputs:
        graph.replace(old, new, outputs=False)
        return
    if new.producer in graph and new not in outputs:
        old.name, new.name = new.name, old.name
        graph.replace(old, new)
        outputs[new] = outputs.pop(old)
        return
    graph.replace(old, new, outputs=False)
    identity = find("", "Identity", graph.opsets.get("", 1 << 30))
    if identity is None:
        raise InternalError("E0340", "there is no Identity operator", tensor=old.name)
    maker = old.producer
    if maker is not None and maker in graph:
        swap = tuple(None if v is old else v for v in maker.outputs)
        maker.outputs = swap
    graph.append(identity(), [new], [old], meta=maker.meta if maker else None)
