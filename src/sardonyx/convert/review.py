"""What an exported graph shows of how it was captured, each with the user's line and a remedy."""

from __future__ import annotations

import ast
import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sardonyx.convert.source import Fixed, Remark
from sardonyx.core.dtype import DType
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Node
from sardonyx.graph.op import domain_of
from sardonyx.graph.origin import STACK, frames, is_installed, source_line

_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
           "Multinomial")  # fmt: skip
_STANDARD = ("", "ai.onnx.ml")
_MOST = 5


def operators(graph: Graph) -> dict[str, int]:
    """How many nodes there are of each operator, the commonest first, bodies and functions too."""
    counts = Counter(_told(node) for node in _nodes(graph))
    return dict(counts.most_common())


def _told(node: Node) -> str:
    domain = domain_of(node.op)
    return node.op.op_type if domain in _STANDARD else f"{domain}.{node.op.op_type}"


def _nodes(graph: Graph) -> Iterator[Node]:
    held = [graph, *(f.body for f in graph.functions.values())]
    for one in held:
        for body in bodies(one):
            yield from body.nodes


def review(graph: Graph, fixed: Sequence[Fixed]) -> list[Remark]:
    """Randomness, training mode, operators of nobody else, float64 left behind, unrolled loops and
    frozen branches; at most a few of each kind, in that order.
    """
    nodes = list(_nodes(graph))
    found = [
        *_random(nodes),
        *_training(nodes),
        *_custom(graph, nodes),
        *_wide(graph),
        *_loops(nodes),
        *_branches(fixed),
    ]
    counts: Counter[str] = Counter()
    met = set()
    kept = []
    for remark in found:
        place = remark.kind, remark.source or remark.text
        if place not in met and counts[remark.kind] < _MOST:
            counts[remark.kind] += 1
            kept.append(remark)
        met.add(place)
    return kept


def _random(nodes: Iterable[Node]) -> Iterator[Remark]:
    for node in nodes:
        if node.op.standard(*_RANDOM):
            text = f"{node.op.op_type} draws anew in every run: no two answer alike"
            yield Remark("randomness", text, source_line(node), "draw outside, and feed it")


def _training(nodes: Iterable[Node]) -> Iterator[Remark]:
    for node in nodes:
        flag = node.operand(2) if node.op.standard("Dropout") else None
        drops = flag is not None and flag.const is not None and bool(flag.const.numpy().any())
        norm = node.op.standard("BatchNormalization")
        if drops or (norm and bool(getattr(node.op, "training_mode", 0))):
            text = f"{node.op.op_type} stayed in its training form"
            yield Remark("training mode", text, source_line(node), "call model.eval()")


def _custom(graph: Graph, nodes: Iterable[Node]) -> Iterator[Remark]:
    own = {(domain, name) for domain, name, _ in graph.functions}
    for node in nodes:
        domain = domain_of(node.op)
        if domain not in _STANDARD and (domain, node.op.op_type) not in own:
            text = f"{_told(node)} is no operator of the standard"
            remedy = "say it in operators that are (--translation)"
            yield Remark("custom operator", text, source_line(node), remedy)


def _wide(graph: Graph) -> Iterator[Remark]:
    """Where float64 begins in a model that takes none."""
    if any(v.dtype == DType.FLOAT64 for v in graph.inputs):
        return
    for node in _nodes(graph):
        made = any(v is not None and v.dtype == DType.FLOAT64 for v in node.outputs)
        fed = any(
            v is not None and v.dtype == DType.FLOAT64 and v.producer is not None
            for v in node.inputs
        )
        if made and not fed and source_line(node):
            text = f"{node.op.op_type} computes in float64, which the inputs are not"
            yield Remark("float64", text, source_line(node), "make its constants float32")


def _branches(fixed: Sequence[Fixed]) -> Iterator[Remark]:
    for one in fixed:
        place = one.source.partition(" in ")[0]
        path, _, line = place.rpartition(":")
        if line.isdecimal() and _in_test(path, int(line)):
            text = f"the branch was taken for sizes with {one.condition}, and for those only"
            yield Remark("frozen branch", text, one.source, "say it by torch.where or torch.cond")


def _loops(nodes: Iterable[Node]) -> Iterator[Remark]:
    """The user's own loops, over anything but parts of the model, that ran several times."""
    met: dict[tuple[str, int, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for node in nodes:
        stack = frames(node.meta.get(STACK, ""))
        for n, (path, line, _) in enumerate(stack):
            loop = None if is_installed(path) else _loop_at(path, line)
            if loop is not None:
                outer, inner = str(stack[:n]), str(stack[n:])
                met[path, loop, outer][node.op.op_type, inner] += 1
    told: dict[tuple[str, int], int] = {}
    for (path, loop, _), counts in met.items():
        repeated = [count for count in counts.values() if count > 1]
        if repeated:
            told[path, loop] = max(min(repeated), told.get((path, loop), 0))
    for (path, loop), turns in told.items():
        code = _lines(path)[loop - 1].strip()
        text = f"the loop was written out, {turns} turns of it: another number needs another model"
        remedy = "work on whole tensors where the number of turns follows an input"
        yield Remark("unrolled loop", text, f"{path}:{loop}: {code}", remedy)


@functools.lru_cache(64)
def _lines(path: str) -> tuple[str, ...]:
    try:
        return tuple(Path(path).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return ()


@functools.lru_cache(64)
def _statements(path: str) -> tuple[ast.AST, ...]:
    try:
        return tuple(ast.walk(ast.parse("\n".join(_lines(path)))))
    except SyntaxError:
        return ()


def _loop_at(path: str, line: int) -> int | None:
    """The first line of the innermost loop around a line, unless it goes over parts of `self`."""
    around = [
        s
        for s in _statements(path)
        if isinstance(s, ast.For | ast.While) and s.body[0].lineno <= line <= (s.end_lineno or 0)
    ]
    if not around:
        return None
    inner = max(around, key=lambda s: s.lineno)
    parts = isinstance(inner, ast.For) and _over_parts(inner.iter, _self_at(path, line))
    return None if parts else inner.lineno


def _self_at(path: str, line: int) -> str:
    """The first parameter of the innermost function around a line."""
    functions = [
        s
        for s in _statements(path)
        if isinstance(s, ast.FunctionDef) and s.lineno <= line <= (s.end_lineno or 0)
    ]
    inner = max(functions, key=lambda s: s.lineno, default=None)
    return inner.args.args[0].arg if inner is not None and inner.args.args else ""


def _over_parts(what: ast.expr, owner: str) -> bool:
    """Whether a loop goes over attributes of `owner`: layers, which are what they are."""
    names = {n.id for n in ast.walk(what) if isinstance(n, ast.Name)}
    return names <= {owner, "enumerate", "zip", "reversed"} and owner in names


def _in_test(path: str, line: int) -> bool:
    """Whether a line belongs to the condition of a branch."""
    kinds = (ast.If, ast.While, ast.IfExp)
    tests = [s.test for s in _statements(path) if isinstance(s, kinds)]
    return any(t.lineno <= line <= (t.end_lineno or t.lineno) for t in tests)
