"""Which values live in memory, and the kernel that computes each of them.

    MatMul -> Add(bias) -> Gelu -> MatMul        two kernels: the first stores Gelu(acc + bias)

Every value is either stored or computed where it is read. A value is read through when that
repeats no work: it only moves data, or it is cheap, or it has one reader that reads each element
once. A contraction or reduction is read through only by an elementwise reader (its epilogue), at
most one to a kernel. What has no native code is a host step, with the reason kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from sardonyx.core.expr import Expr, const, fresh, load, number, product, scalar, var
from sardonyx.core.limits import still_compiling
from sardonyx.engine.fuse.alike import Forms, form_of_node, form_of_value
from sardonyx.engine.fuse.inside import Promise, promises
from sardonyx.engine.fuse.probe import (
    Leaf,
    Probe,
    as_subscripts,
    blockers,
    literal,
    probe,
    sensible,
    types_of,
)
from sardonyx.engine.fuse.steps import Host as Host
from sardonyx.graph.ir import Graph, Node, Value, captured
from sardonyx.graph.op import Index, Operand, SumOfProducts, Trait
from sardonyx.loops.build import Closed, Sizes, Unplaceable, close, contraction, pointwise
from sardonyx.loops.ir import Contract, Kernel, Store

# Of several readers each computes a value anew where that costs no more operations than the load
# that it saves each of them, and the one store: about two.
_CHEAP = 2
# A product's operand is computed while it is copied into rows or panels; a copy waits for memory
# about four operations an element, so that much costs nothing.
_OPERAND = 4
# Nodes that an epilogue may be made of: a Gelu written out has eight, with casts and biases twelve;
# every further node is looked at for every value before it.
_JOIN = 16
# Operations an element that may be done again instead of storing the value and reading it back,
# once it has left the first-level cache: about a dozen cycles.
_REREAD = 12
# Operations of one expression: beyond, its parts no longer fit the vector registers and are spilled
# one by one, while storing the value in between is one store and one load.
_LARGEST = 200
# Buffers of one kernel: each holds a general register with its address, of which x86-64 has 16, and
# the stack pointer and a loop counter need two.
_BUFFERS = 14
# Operands of one node that becomes code: with each the code chooses once more, and making it takes
# a time that grows with the square of their number, a second at this one.
_OPERANDS = 256


@dataclass(frozen=True)
class Computed:
    """A raw kernel computing values: `params` are its buffers in order, outputs first.

    `nodes` are the graph nodes it stands for, the last one producing the stored value; `promises`
    is what every feed must keep for it to stay inside its buffers.
    """

    kernel: Kernel
    params: tuple[Value, ...]
    symbols: tuple[Expr, ...]
    outs: int
    nodes: tuple[Node, ...]
    promises: tuple[Promise, ...] = ()


Step = Computed | Host


@dataclass
class _Fusion:
    probes: dict[Value, Probe] = field(default_factory=dict)
    contractions: set[Value] = field(default_factory=set)
    carries: dict[Value, Value] = field(default_factory=dict)
    stored: set[Value] = field(default_factory=set)
    totals: dict[Value, int] = field(default_factory=dict)
    host: dict[Node, str] = field(default_factory=dict)
    builds: set[Node] = field(default_factory=set)
    order: dict[Node, int] = field(default_factory=dict)
    promises: dict[Node, list[Promise]] = field(default_factory=dict)
    forms: Forms = field(default_factory=Forms)
    classes: dict[Hashable, _Class] = field(default_factory=dict)


def fuse(graph: Graph) -> list[Step]:
    """The steps of a prepared graph (types inferred, sorted), in execution order."""
    plan = _Fusion(order={node: n for n, node in enumerate(graph.nodes)})
    known = {s for v in graph.inputs for s in _free(v)}
    for node in graph.nodes:
        fresh_dims = _new_symbols(node) - known
        known |= fresh_dims
        if fresh_dims:
            plan.host[node] = "the size of its output is known only when it has run"
        else:
            _classify(node, plan)
        if node not in plan.host:
            _rely(node, plan)
    for node in graph.nodes:
        for v in node.outputs:
            if v is not None:
                _decide(v, node, graph, plan)
    steps: list[Step] = []
    for node in graph.nodes:
        steps.extend(_emit(node, plan))
    return _needed(steps, graph)


def _needed(steps: list[Step], graph: Graph) -> list[Step]:
    """The steps that some output depends on, be it only by a size that a step before tells."""
    binders = _binders(steps, graph)
    needed = set(graph.outputs)
    sizes = {x for v in graph.outputs for x in _free(v)}
    kept: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Host):
            made, read = (step.node.outputs, (*step.node.inputs, *captured(step.node)))
        else:
            made, read = step.params[: step.outs], step.params[step.outs :]
        binds = binders.get(step.node, set()) if isinstance(step, Host) else set()
        if any(v in needed for v in made) or not binds.isdisjoint(sizes):
            needed.update(v for v in read if v is not None)
            sizes.update(x for v in (*made, *read) if v is not None for x in _free(v))
            if isinstance(step, Computed):
                sizes.update(x for e in step.symbols for x in e.free)
            kept.append(step)
    return kept[::-1]


def _binders(steps: list[Step], graph: Graph) -> dict[Node, set[Expr]]:
    """The symbols that each host step is the first to tell."""
    known = {x for v in graph.inputs for x in _free(v)}
    found: dict[Node, set[Expr]] = {}
    for step in steps:
        if isinstance(step, Host):
            found[step.node] = _new_symbols(step.node) - known
            known |= found[step.node]
    return found


def _free(v: Value) -> set[Expr]:
    return {x for d in v.shape or () for x in d.free}


def _new_symbols(node: Node) -> set[Expr]:
    """The symbols in the shapes of a node's outputs."""
    return {s for v in node.outputs if v is not None for s in _free(v)}


@dataclass(frozen=True)
class _Class:
    """How a node becomes code: the reason where it does not, or how each output is computed."""

    reason: str = ""
    contracts: bool = False
    builds: bool = False
    probes: tuple[Probe | None, ...] = ()


def _classify(node: Node, plan: _Fusion) -> None:
    reason = blockers(node)
    if reason:
        plan.host[node] = reason
        return
    form = form_of_node(node)
    found = plan.classes.get(form)
    if found is None:
        found = plan.classes[form] = _class(node)
    if found.reason:
        plan.host[node] = found.reason
    elif found.contracts:
        plan.contractions.update(v for v in node.outputs if v is not None)
    elif found.builds:
        plan.builds.add(node)
    for v, facts in zip(node.outputs, found.probes, strict=False):
        if v is not None and facts is not None:
            plan.probes[v] = facts


def _class(node: Node) -> _Class:
    outs = [v for v in node.outputs if v is not None]
    inputs = types_of(node.inputs)
    if len(node.inputs) > _OPERANDS:
        return _Class(f"code that reads more than {_OPERANDS} operands takes minutes to make")
    if node.op.has("contract") and len(outs) == 1:
        leaves = [None if t is None else Leaf(f"x{n}", t) for n, t in enumerate(inputs)]
        if node.op.contract(outs[0].type, *leaves) is not None:
            return _Class(contracts=True)
    if node.op.has("build") and _built(node) is not None:
        return _Class(builds=True)
    probes: list[Probe | None] = []
    for which, v in enumerate(node.outputs):
        with sensible(node):
            found = probe(node.op, which, v.type, inputs) if v is not None else None
        if isinstance(found, str):
            return _Class(found, probes=tuple(probes))
        probes.append(found)
    return _Class(probes=tuple(probes))


def _rely(node: Node, plan: _Fusion) -> None:
    """Notes what the node's native code relies on; without that it has none."""
    with sensible(node):
        found = promises(node)
    if not isinstance(found, str):
        plan.promises[node] = found
        return
    plan.host[node] = found
    plan.builds.discard(node)
    for v in node.outputs:
        if v is not None:
            plan.contractions.discard(v)
            plan.probes.pop(v, None)


def _decide(v: Value, node: Node, graph: Graph, plan: _Fusion) -> None:
    """Stores `v` or lets its readers compute it."""
    inlined = [x for x in _operands(v, node, plan) if x not in plan.stored]
    anchors = {plan.carries[x]: x for x in inlined if x in plan.carries}
    for extra in list(anchors)[:-1]:
        plan.stored.update((extra, anchors.pop(extra)))
    facts = plan.probes.get(v)
    if v in plan.contractions or (facts is not None and facts.reduces):
        plan.carries[v] = v
    elif anchors:
        plan.carries[v] = next(iter(anchors))
    plan.totals[v] = (facts.cost if facts else 0) + sum(plan.totals.get(x, 0) for x in inlined)
    if not _readable_through(v, node, graph, plan):
        plan.stored.add(v)


def _operands(v: Value, node: Node, plan: _Fusion) -> list[Value]:
    """The inputs whose elements computing `v` reads."""
    facts = plan.probes.get(v)
    return [
        x
        for n, x in enumerate(node.inputs)
        if x is not None and (facts is None or n in facts.reads)
    ]


def _readable_through(v: Value, node: Node, graph: Graph, plan: _Fusion) -> bool:
    users = [u for u in v.uses if Trait.ASIDE not in u.op.traits]
    if not users or v in graph.outputs or node in plan.host or node in plan.builds:
        return False
    if any(u in plan.host or u in plan.builds or v in captured(u) for u in users):
        return False
    if plan.totals[v] > _LARGEST or len(_sources(v, plan)) > _BUFFERS:
        return False
    if v in plan.carries:
        return _joins(v, plan)
    facts = plan.probes[v]
    if facts.moves and plan.totals[v] == 0:
        return True
    if any(_contracts(u, plan) for u in users):
        if all(_is_packed_once(v, u) for u in users):
            return True
        return len(users) == 1 and plan.totals[v] <= _OPERAND
    if len(users) > 1:
        return plan.totals[v] <= _CHEAP
    repeats = max(_repeats(v, users[0], plan), 1)
    return repeats == 1 or plan.totals[v] * repeats <= _REREAD


def _is_packed_once(v: Value, user: Node) -> bool:
    """Whether a value is what a product lays out before all runs: weights made of constants."""
    waiting, seen = [v], {v}
    while waiting:
        x = waiting.pop()
        if x.const is not None:
            continue
        if x.producer is None or x.producer.op.random or captured(x.producer):
            return False
        made_from = {i for i in x.producer.inputs if i is not None} - seen
        waiting.extend(made_from)
        seen |= made_from
    return user.operand(1) is v


def _joins(v: Value, plan: _Fusion) -> bool:
    """Whether all readers of an anchored value end in one elementwise value, element by element.

    So do x and sigmoid(x) in x * sigmoid(x), and all of a Gelu written out in parts. Readers in
    bodies do not.
    """
    waiting, seen = list(v.uses), {v: set(v.uses)}
    inside: set[Node] = set()
    while waiting:
        if any(n not in plan.order for n in waiting):
            return False
        node = min(waiting, key=plan.order.__getitem__)
        waiting.remove(node)
        if node in inside:
            continue
        inside.add(node)
        read = [x for x in node.inputs if x in seen]
        outs = [o for o in node.outputs if o is not None]
        whole = len(outs) == 1 and all(_reads_identity(x, node, plan) for x in set(read))
        if not whole or len(inside) > _JOIN:
            return False
        if set().union(*seen.values()) <= inside:
            return True
        seen[outs[0]] = set(outs[0].uses)
        waiting.extend(outs[0].uses)
    return False


def _sources(v: Value, plan: _Fusion) -> set[Value]:
    """The stored values that computing `v` reads."""
    found: set[Value] = set()
    stack = [v]
    while stack:
        node = stack.pop().producer
        for x in node.inputs if node is not None else ():
            if x is None or x in found:
                continue
            if x in plan.stored or x.producer is None:
                found.add(x)
            else:
                stack.append(x)
    return found


def _contracts(node: Node, plan: _Fusion) -> bool:
    return any(v in plan.contractions for v in node.outputs)


def _user_probes(user: Node, plan: _Fusion) -> list[Probe]:
    return [plan.probes[o] for o in user.outputs if o is not None and o in plan.probes]


def _reads_identity(v: Value, user: Node, plan: _Fusion) -> bool:
    if _contracts(user, plan):
        return False
    at = [n for n, x in enumerate(user.inputs) if x is v]
    facts = _user_probes(user, plan)
    return (
        len(at) == 1
        and len(facts) == 1
        and not facts[0].reduces
        and (facts[0].identity(at[0], v.type))
    )


def _repeats(v: Value, user: Node, plan: _Fusion) -> int:
    """How often the reader evaluates an element: its readings, reductions counting double."""
    at = [n for n, x in enumerate(user.inputs) if x is v]
    total = 0
    for facts in _user_probes(user, plan):
        for n in at:
            total += sum(2 if r.reduced else 1 for r in facts.reads.get(n, ()))
            total += 0 if facts.identity(n, v.type) or facts.reduces else _stretches(v, facts)
    return total


def _stretches(v: Value, facts: Probe) -> int:
    """1 when the output has more elements than `v`, so that elements are read again."""
    return 0 if v.type.shape is not None and v.type.count is product(facts.index.shape) else 1


class _Through(Operand):
    """An operand that is loaded when stored, and computed from its producer otherwise."""

    def __init__(self, value: Value, plan: _Fusion, known: dict[Value, Expr]) -> None:
        self.value = value
        self.type = value.type
        self._plan = plan
        self._known = known

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        subscripts = as_subscripts(idx)
        v = self.value
        if v in self._known:
            return self._known[v]
        found = literal(v.type, subscripts)
        if found is not None:
            return found
        if v in self._plan.stored or v.producer is None:
            return load(key_of(v), [flat_index(v, subscripts)], self.dtype)
        return element(v, Index(subscripts, v.type.dims), self._plan, self._known)


def element(v: Value, idx: Index, plan: _Fusion, known: dict[Value, Expr]) -> Expr:
    """The expression of one element of a value, from its producer."""
    node = v.producer
    assert node is not None
    operands = [None if x is None else _Through(x, plan, known) for x in node.inputs]
    return node.op.at_output(node.outputs.index(v), idx, *operands)


def key_of(v: Value) -> str:
    """The buffer name of a value while kernels are built."""
    return f"v{id(v)}"


def flat_index(v: Value, subscripts: Sequence[Expr]) -> Expr:
    """The position of an element in the value's memory, by its layout."""
    total = const(0)
    for axis in v.layout or range(len(subscripts)):
        total = total * v.type.dims[axis] + subscripts[axis]
    return total


def _emit(node: Node, plan: _Fusion) -> list[Step]:
    if node in plan.host:
        return [Host(node, plan.host[node])]
    if node in plan.builds:
        outs = [v for v in node.outputs if v is not None]
        values = [*outs, *(v for v in node.inputs if v is not None)]
        form = form_of_node(node), tuple(map(values.index, values))
        kernel, params, symbols = plan.forms.kernel(form, values, key_of, lambda: _built(node))
        return [Computed(kernel, params, symbols, len(outs), (node,), tuple(plan.promises[node]))]
    steps: list[Step] = []
    for v in node.outputs:
        if v is not None and v in plan.stored:
            try:
                steps.append(_kernel(v, plan))
            except Unplaceable as reason:
                steps.append(Host(node, str(reason)))
                break
    return steps


def _kernel(v: Value, plan: _Fusion) -> Computed:
    still_compiling()
    anchor, nodes = _anchor(v, plan)
    form, values = form_of_value(v, plan.stored)

    def make() -> Closed:
        sizes: Sizes = {
            key_of(x): (x.type.dtype, x.type.count) for x in (v, *_sources(v, plan)) if x.type.dtype
        }
        with sensible(nodes[-1], (TypeError,)):
            return (
                _pointwise(v, plan, sizes)
                if anchor is None
                else _contraction(v, anchor, plan, sizes)
            )

    kernel, params, symbols = plan.forms.kernel(form, values, key_of, make)
    kept = dict.fromkeys(p for n in nodes for p in plan.promises[n])
    return Computed(kernel, params, symbols, 1, nodes, tuple(kept))


def _anchor(v: Value, plan: _Fusion) -> tuple[Value | None, tuple[Node, ...]]:
    """The contraction that computing `v` contains, and the nodes it stands for, in order."""
    found: list[Value] = []
    nodes: dict[Node, None] = {}
    stack = [v]
    while stack:
        x = stack.pop()
        if x.producer is None or (x is not v and x in plan.stored):
            continue
        nodes[x.producer] = None
        if x in plan.contractions:
            found.append(x)
        stack.extend(i for i in x.producer.inputs if i is not None)
    return (found[0] if found else None), tuple(reversed(nodes))


def _pointwise(v: Value, plan: _Fusion, sizes: Sizes) -> Closed:
    # Sums of integers are in the order of names: fresh ones would make other kernels each time.
    dims = v.type.dims
    idx = Index([const(0) if number(d) == 1 else var(f"o{n}", d) for n, d in enumerate(dims)], dims)
    value = element(v, idx, plan, {})
    loops = [idx[a] for a in v.layout or range(len(idx))]
    loops = [x for x in loops if not x.is_const]
    return pointwise(key_of(v), loops, flat_index(v, idx), value, sizes)


def _contraction(v: Value, anchor: Value, plan: _Fusion, sizes: Sizes) -> Closed:
    node = anchor.producer
    assert node is not None
    operands = [None if x is None else _Through(x, plan, {}) for x in node.inputs]
    c = node.op.contract(anchor.type, *operands)
    assert c is not None
    return contraction(_contract(c, v, anchor, plan), key_of(v), sizes)


def _contract(c: SumOfProducts, v: Value, anchor: Value, plan: _Fusion) -> Contract:
    batch, m, n, k = (_subscripts(extents) for extents in (c.batch, c.m, c.n, c.k))
    acc = scalar("acc", c.acc)
    idx = Index(c.place(batch, m, n), anchor.type.dims)
    value = c.finish(acc, idx)
    if v is not anchor:
        value = element(v, idx, plan, {anchor: value})
    store = Store(0, flat_index(v, idx), value)
    left, right = c.left(batch, m, k), c.right(batch, k, n)
    loops = [tuple(v for v in axes if not v.is_const) for axes in (batch, m, n, k)]
    return Contract(loops[0], loops[1], loops[2], loops[3], acc, left, right, (store,))


def _subscripts(extents: Sequence[Expr]) -> tuple[Expr, ...]:
    return tuple(const(0) if number(e) == 1 else fresh(e) for e in extents)


def _built(node: Node) -> Closed | None:
    """The kernel of an op that says its own loops; None when it declines."""
    outs = [v for v in node.outputs if v is not None]
    if len(outs) != len(node.outputs):
        return None
    kernel = node.op.build(tuple(v.type for v in outs), *types_of(node.inputs))
    if kernel is None:
        return None
    params = (*outs, *(v for v in node.inputs if v is not None))
    keys = [key_of(v) for v in params]
    sizes: Sizes = {
        k: (v.type.dtype, v.type.count) for k, v in zip(keys, params, strict=True) if v.type.dtype
    }
    return close(kernel.body, keys, sizes, len(outs), kernel.scratch)
