"""Small models that ask for a great deal once they are fed, or are very deep or very long.

    python -m session.bombs NAME

runs one in this process and prints, as JSON, the error's code (null: it ran), the seconds, and the
peak of memory in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import sardonyx.ops  # noqa: F401
from sardonyx.bench.worker import resident
from sardonyx.core.errors import SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.formats.encode import encode
from sardonyx.formats.message import Message
from sardonyx.graph.text import from_text
from sardonyx.session import InferenceSession

HUGE = 10**12
Feeds = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Bomb:
    """A model and its feeds, with the codes that may be given (none: it must run).

    `trips` is the budget of trips, where the default one takes minutes to spend.
    """

    model: Callable[[], Any]
    feeds: Feeds
    codes: tuple[str, ...] = ("E0504", "E0506")
    trips: int = 10_000_000


def _graph(body: str) -> Callable[[], Any]:
    text = f'graph bomb {{ opset "" 20\n{body}\n}}'
    return lambda: from_text(text)


def _ints(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, np.int64)


def _floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def _chain(count: int) -> Callable[[], Any]:
    rows = "\n".join(f"v{n + 1} = Neg(v{n})" for n in range(count))
    return _graph(f"input v0: float32[N]\n{rows}\noutput v{count}")


def _ladder(count: int) -> Callable[[], Any]:
    """Every value read twice: read through without care, it doubles at each step."""
    rows = "\n".join(f"v{n + 1} = Add(v{n}, v{n})" for n in range(count))
    return _graph(f"input v0: float32[N]\n{rows}\noutput v{count}")


def _nested(depth: int) -> Callable[[], Any]:
    """Ifs in the branches of Ifs."""
    body = "y = Neg(x) output y"
    for _ in range(depth):
        branch = f'graph t {{ opset "" 20 {body} }}'
        other = 'graph e { opset "" 20 y = Abs(x) output y }'
        body = f"y = If<then_branch={branch}, else_branch={other}>(c) output y"
    return _graph(f"input x: float32[N]\ninput c: bool[]\n{body}")


def _buried(depth: int) -> Callable[[], Any]:
    """The same far deeper, encoded without a graph in memory."""

    def make() -> bytes:
        inner = _body("Neg", [])
        for _ in range(depth):
            kinds = (("then_branch", inner), ("else_branch", _body("Abs", [])))
            inner = _body("If", [_attribute(name, g) for name, g in kinds])
        opset = Message("OperatorSetIdProto", {"domain": "", "version": 20})
        whole = {"ir_version": 10, "graph": inner, "opset_import": [opset]}
        return bytes(encode(Message("ModelProto", whole)))

    return make


def _body(op: str, attributes: list[Message]) -> Message:
    node = {"op_type": op, "input": ["x"], "output": ["y"], "attribute": attributes}
    out = Message("ValueInfoProto", {"name": "y"})
    return Message(
        "GraphProto", {"name": "g", "node": [Message("NodeProto", node)], "output": [out]}
    )


def _attribute(name: str, graph: Message) -> Message:
    return Message("AttributeProto", {"name": name, "type": 5, "g": graph})


_LOOPS = """
input x: float32[]
input n: int64[]
const go: bool[] = {1}
y = Loop<body=graph outer {
    opset "" 20
    input i: int64[]
    input c: bool[]
    input a: float32[]
    d = Identity(c)
    z = Loop<body=graph inner {
        opset "" 20
        input j: int64[]
        input e: bool[]
        input b: float32[]
        f = Identity(e)
        g = Neg(b)
        output f
        output g
      }>(n, go, a)
    output d
    output z
  }>(n, go, x)
output y
"""
_STACK = """
input x: float32[1000]
input n: int64[]
const go: bool[] = {1}
s = Loop<body=graph body {
    opset "" 20
    input i: int64[]
    input c: bool[]
    d = Identity(c)
    w = Neg(x)
    output d
    output w
  }>(n, go)
output s
"""
_FALSE = np.array(False)
_X = _floats(4)

BOMBS = {
    "filled": Bomb(
        _graph("input s: int64[3]\ny = ConstantOfShape(s)\noutput y"), {"s": _ints(HUGE, 1, 1)}
    ),
    "overflowing": Bomb(
        _graph("input s: int64[3]\ny = ConstantOfShape(s)\noutput y"),
        {"s": _ints(2**62, 2**62, 2**62)},
    ),
    "expanded": Bomb(
        _graph("input x: float32[4]\ninput s: int64[2]\ny = Expand(x, s)\noutput y"),
        {"x": _X, "s": _ints(HUGE, 4)},
    ),
    "tiled": Bomb(
        _graph("input x: float32[N]\ninput r: int64[1]\ny = Tile(x, r)\noutput y"),
        {"x": _X, "r": _ints(HUGE)},
    ),
    "enlarged": Bomb(
        _graph("input x: float32[1, 1, 2, 2]\ninput s: int64[4]\ny = Resize(x, _, _, s)\noutput y"),
        {"x": _floats(1, 1, 2, 2), "s": _ints(1, 1, 10**6, 10**6)},
    ),
    "scaled": Bomb(
        _graph(
            "input x: float32[1, 1, 2, 2]\nconst s: float32[4] = {1, 1, 1e6, 1e6}\n"
            "y = Resize(x, _, s)\noutput y"
        ),
        {"x": _floats(1, 1, 2, 2)},
    ),
    "padded": Bomb(
        _graph("input x: float32[N]\ninput p: int64[2]\ny = Pad(x, p)\noutput y"),
        {"x": _X, "p": _ints(0, HUGE)},
    ),
    "counted": Bomb(
        _graph(
            "input n: int64[]\nconst zero: int64[] = {0}\nconst one: int64[] = {1}\n"
            "y = Range(zero, n, one)\noutput y"
        ),
        {"n": np.array(HUGE)},
    ),
    "marked": Bomb(
        _graph(
            "input x: int64[4]\ninput n: int64[]\nconst v: float32[2] = {0, 1}\n"
            "y = OneHot(x, n, v)\noutput y"
        ),
        {"x": _ints(0, 1, 2, 3), "n": np.array(HUGE)},
    ),
    "outer sum": Bomb(
        _graph("input x: float32[N, 1]\ninput z: float32[M]\ny = Add(x, z)\noutput y"),
        {"x": _floats(300_000, 1), "z": _floats(300_000)},
    ),
    "outer product": Bomb(
        _graph(
            "input x: float32[N, 1]\ninput z: float32[1, M]\nm = MatMul(x, z)\n"
            "s = Softmax<axis=0>(m)\ny = ReduceSum<keepdims=0>(s)\noutput y"
        ),
        {"x": _floats(300_000, 1), "z": _floats(1, 300_000)},
    ),
    "loops in loops": Bomb(
        _graph(_LOOPS), {"x": np.array(1, np.float32), "n": np.array(500)}, ("E0508",), 100_000
    ),
    "stacked": Bomb(
        _graph(_STACK), {"x": _floats(1000), "n": np.array(10**9)}, ("E0504", "E0506", "E0508")
    ),
    "ifs": Bomb(_nested(40), {"x": _X, "c": _FALSE}, ()),
    "buried ifs": Bomb(_buried(2000), {}, ("E0502",)),
    "chain": Bomb(_chain(100_000), {"v0": _X}, ()),
    "ladder": Bomb(_ladder(2_000), {"v0": _floats(4) * 0}, ()),
}


def main(name: str) -> None:
    """Runs one and prints what came of it."""
    bomb, code = BOMBS[name], None
    model = bomb.model()
    limits = Limits.current().changed({"trips": bomb.trips})
    start = time.monotonic()
    try:
        InferenceSession(model, limits=limits).run(None, bomb.feeds)
    except SardonyxError as error:
        code = error.code
    seconds = time.monotonic() - start
    print(json.dumps({"code": code, "seconds": seconds, "peak": resident("VmHWM")}))


if __name__ == "__main__":
    main(sys.argv[1])
