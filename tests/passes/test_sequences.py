"""Lists that a graph makes and takes apart itself are gone; others stay, with the reason."""

import numpy as np
import pytest

from graph.sources import parse
from passes.equal import apply, ops, ready
from passes.test_simplify import reasons
from sardonyx.graph.ir import Graph
from sardonyx.passes.dead import DEAD
from sardonyx.passes.simplify import SIMPLIFY

MOST = 8


def program(rng: np.random.Generator) -> Graph:
    """A list of known values, changed some times, then read in every way."""
    lines = ["input x: float32[N, 6]", "input w: float32[N, 2]"]
    lines += [f"const c{n + MOST}: int64[] = {{{n}}}" for n in range(-MOST, MOST)]
    lines.append("const sizes: int64[4] = {1, 2, 2, 1}")
    begin = rng.integers(4)
    each = f"SplitToSequence<axis={rng.choice([1, -1])}>"
    lines.append((
        "s0 = SequenceConstruct(x, w)",
        f"s0 = {each}(x)",
        f"s0 = {each}(x, c{MOST + 4})",
        f"s0 = {each}(x, sizes)",
    )[begin])  # fmt: skip
    length = (2, 6, 2, 4)[begin]
    changes = rng.integers(4)
    for n in range(changes):
        if length and rng.random() < 0.5:
            at = rng.integers(-length, length)
            length -= 1
            lines.append(f"s{n + 1} = SequenceErase(s{n}, c{at + MOST})")
        elif length < MOST - 1:
            at = rng.integers(-length, length + 1)
            length += 1
            lines.append(f"s{n + 1} = SequenceInsert(s{n}, w, c{at + MOST})")
        else:
            lines.append(f"s{n + 1} = SequenceErase(s{n})")
            length -= 1
    lines.append(f"n = SequenceLength(s{changes})\noutput n")
    if length:
        at = rng.integers(-length, length)
        lines.append(f"e = SequenceAt(s{changes}, c{at + MOST})\ny = Neg(e)\noutput y")
        lines.append(f"j = ConcatFromSequence<axis=1>(s{changes})\noutput j")
    return ready(parse("\n".join(lines)))


@pytest.mark.parametrize("seed", range(40))
def test_known_lists_are_gone(seed: int) -> None:
    made, _ = apply(program(np.random.default_rng(seed)), SIMPLIFY)
    DEAD(made)
    assert not [n for n in ops(made) if "Sequence" in n]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("opset", [11, 13])
def test_a_stack_is_a_join_of_a_new_axis(axis: int, opset: int) -> None:
    text = f"""
      opset "" {opset}
      input x: float32[N, 6]
      s = SplitToSequence<axis=1, keepdims=0>(x)
      r = SplitToSequence<axis=1>(x)
      e = SequenceAt(r, i)
      f = SequenceErase(r, i)
      t = ConcatFromSequence<axis={axis}, new_axis=1>(f)
      u = ConcatFromSequence<axis={axis % 2 - 2 * (axis < 0)}, new_axis=1>(s)
      const i: int64[] = {{-2}}
      output e
      output t
      output u
    """
    made, _ = apply(ready(parse(text)), SIMPLIFY)
    DEAD(made)
    assert not [n for n in ops(made) if "Sequence" in n]


def test_optionals_of_the_graph_itself_are_gone() -> None:
    text = """
      input x: float32[N]
      o = Optional(x)
      g = OptionalGetElement(o)
      h = OptionalHasElement(o)
      k = OptionalHasElement(x)
      n = OptionalHasElement()
      y = OptionalGetElement(g)
      output g
      output h
      output k
      output n
      output y
    """
    made, _ = apply(ready(parse(text)), SIMPLIFY)
    DEAD(made)
    assert not [n for n in ops(made) if n.startswith("Optional")]


STAYS = [
    ("s = SequenceConstruct(x)\n y = SequenceAt(s, i)\n input i: int64[]", "position"),
    ("input s: sequence(float32[N])\n const i: int64[] = {0}\n y = SequenceAt(s, i)", "list"),
    ("const i: int64[] = {3}\n s = SequenceConstruct(x)\n y = SequenceAt(s, i)", "position"),
    ("s = SplitToSequence<axis=0>(x)\n y = SequenceLength(s)", "list"),
]


@pytest.mark.parametrize(("body", "reason"), STAYS)
def test_other_lists_stay(body: str, reason: str) -> None:
    graph = ready(parse(f"input x: float32[N]\n{body}\noutput y"))
    before = ops(graph)
    log = SIMPLIFY(graph)
    assert ops(graph) == before
    assert reason in reasons(log)
