"""Models that are damaged, wrong or too much, with what must be said about each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sardonyx.ops  # noqa: F401
from sardonyx.core.dtype import DType
from sardonyx.formats import to_bytes
from sardonyx.formats.encode import encode
from sardonyx.formats.message import Message
from sardonyx.graph.text import from_text
from session.models import AFFINE, UNKNOWN, encoded

MIB = 1 << 20


@dataclass(frozen=True)
class Bad:
    """A model, the codes that may be given for it, and the exit codes of showing, checking and
    running it (None: any of 0, 3 and 4). Some have outputs without a type, which the standard
    refuses.
    """

    data: bytes
    codes: tuple[str, ...]
    show: int
    check: int
    run: int


def _text(text: str) -> bytes:
    return to_bytes(from_text(text))


def doubling(times: int) -> bytes:
    """A chain of Concats, each of the one before with itself."""
    lines = [f"v{n + 1} = Concat<axis=0>(v{n}, v{n})" for n in range(times)]
    body = "\n".join(lines)
    return _text(f'graph doubling {{ opset "" 20 input v0: float32[4]\n{body}\n output v{times} }}')


def constant_doubling(times: int) -> bytes:
    """The same of a constant: what folding would make of it."""
    lines = [f"v{n + 1} = Concat<axis=0>(v{n}, v{n})" for n in range(times)]
    body = "\n".join(lines)
    return _text(
        'graph doubling { opset "" 20 input x: float32[N]\n'
        "const v0: float32[4] = {1.0, 2.0, 3.0, 4.0}\n"
        f"{body}\n y = ReduceSum(v{times}) z = Add(x, y) output z }}"
    )


def endless_loop() -> bytes:
    """A Loop of 2^62 trips."""
    return _text("""
    graph endless {
      opset "" 20
      input x: float32[2]
      const trips: int64[] = {4611686018427387904}
      const go: bool[] = {1}
      y = Loop<body=graph body {
          opset "" 20
          input i: int64[]
          input c: bool[]
          input a: float32[2]
          const one: float32[] = {1.0}
          b = Add(a, one)
          d = Identity(c)
          output d
          output b
        }>(trips, go, x)
      output y
    }
    """)


def expanding(size: int) -> bytes:
    """A tensor of ones of `size` elements out of nothing."""
    return _text(f"""
    graph large {{
      opset "" 20
      input x: float32[]
      const shape: int64[1] = {{{size}}}
      y = Expand(x, shape)
      output y
    }}
    """)


def _string(key: str, value: str) -> Message:
    return Message("StringStringEntryProto", {"key": key, "value": value})


def tensor(dims: list[int], data_type: int, raw: bytes) -> Message:
    """An initializer `w`."""
    return Message(
        "TensorProto", {"name": "w", "dims": dims, "data_type": data_type, "raw_data": raw}
    )


def outside(location: str) -> Message:
    """An initializer `w` whose data lie elsewhere."""
    return Message(
        "TensorProto",
        {
            "name": "w",
            "dims": [4],
            "data_type": DType.FLOAT32.value,
            "external_data": [_string("location", location)],
            "data_location": 1,
        },
    )


def _value(name: str) -> Message:
    return Message("ValueInfoProto", {"name": name})


def holding(initializer: Message) -> bytes:
    """A model that adds an initializer `w` to its input."""
    node = Message("NodeProto", {"op_type": "Add", "input": ["x", "w"], "output": ["y"]})
    dim = Message("TensorShapeProto.Dimension", {"dim_value": 4})
    shape = Message("TensorShapeProto", {"dim": [dim]})
    kind = Message("TypeProto.Tensor", {"elem_type": 1, "shape": shape})
    given = Message(
        "ValueInfoProto", {"name": "x", "type": Message("TypeProto", {"tensor_type": kind})}
    )
    graph = Message(
        "GraphProto",
        {
            "name": "g",
            "node": [node],
            "initializer": [initializer],
            "input": [given],
            "output": [_value("y")],
        },
    )
    return _model(graph)


def _model(graph: Message, functions: list[Message] | None = None, opset: int = 20) -> bytes:
    opsets = [
        Message("OperatorSetIdProto", {"domain": "", "version": opset}),
        Message("OperatorSetIdProto", {"domain": "f", "version": 1}),
    ]
    return encode(
        Message(
            "ModelProto",
            {
                "ir_version": 10,
                "graph": graph,
                "opset_import": opsets,
                "functions": functions or [],
            },
        )
    )


def _function(name: str, calls: list[str]) -> Message:
    names = ["x", *(f"t{n}" for n in range(len(calls) - 1)), "y"]
    nodes = [
        Message(
            "NodeProto",
            {
                "op_type": op,
                "domain": "f" if op.startswith("F") else "",
                "input": [names[n]],
                "output": [names[n + 1]],
            },
        )
        for n, op in enumerate(calls)
    ]
    opsets = [
        Message("OperatorSetIdProto", {"domain": "", "version": 20}),
        Message("OperatorSetIdProto", {"domain": "f", "version": 1}),
    ]
    return Message(
        "FunctionProto",
        {
            "name": name,
            "domain": "f",
            "input": ["x"],
            "output": ["y"],
            "node": nodes,
            "opset_import": opsets,
        },
    )


def calling(functions: list[Message]) -> bytes:
    """A model that calls the function F0."""
    node = Message("NodeProto", {"op_type": "F0", "domain": "f", "input": ["x"], "output": ["y"]})
    dim = Message("TensorShapeProto.Dimension", {"dim_value": 4})
    shape = Message("TensorShapeProto", {"dim": [dim]})
    kind = Message("TypeProto.Tensor", {"elem_type": 1, "shape": shape})
    given = Message(
        "ValueInfoProto", {"name": "x", "type": Message("TypeProto", {"tensor_type": kind})}
    )
    graph = Message(
        "GraphProto", {"name": "g", "node": [node], "input": [given], "output": [_value("y")]}
    )
    return _model(graph, functions)


def cycle() -> bytes:
    """Two functions that call each other."""
    return calling([_function("F0", ["F1"]), _function("F1", ["F0"])])


def inlining_bomb(levels: int = 24) -> bytes:
    """Functions that call the next one ten times each."""
    made = [_function(f"F{n}", [f"F{n + 1}"] * 10) for n in range(levels)]
    return calling([*made, _function(f"F{levels}", ["Neg"])])


def future() -> bytes:
    """A model of an opset that does not exist yet."""
    return AFFINE_BYTES().replace(b"\x0a\x00\x10\x14", b"\x0a\x00\x10\x63", 1)


def AFFINE_BYTES() -> bytes:  # noqa: N802 - a constant that costs something
    return encoded(AFFINE)


def _wrong_dims() -> Message:
    return tensor([2**62, 4], 1, b"\0" * 16)


def _short() -> Message:
    return tensor([4], 1, b"\0" * 15)


def _unknown_type() -> Message:
    return tensor([4], 99, b"\0" * 16)


MODELS: dict[str, Callable[[], Bad]] = {
    "empty": lambda: Bad(b"", ("E0102",), 3, 3, 3),
    "text": lambda: Bad(b"hello, world", ("E0102",), 3, 3, 3),
    "truncated": lambda: Bad(AFFINE_BYTES()[:-20], ("E0102",), 3, 3, 3),
    "endless varint": lambda: Bad(b"\x08" + b"\xff" * 64, ("E0102",), 3, 3, 3),
    "long length": lambda: Bad(b"\x08\x0a\x3a\xff\xff\xff\xff\x07", ("E0102",), 3, 3, 3),
    "dims overflow": lambda: Bad(holding(_wrong_dims()), ("E0504",), 4, 4, 4),
    "raw size": lambda: Bad(holding(_short()), ("E0111",), 3, 3, 3),
    "data type": lambda: Bad(holding(_unknown_type()), ("E0112",), 3, 3, 3),
    "outside": lambda: Bad(holding(outside("../../etc/passwd")), ("E0120",), 3, 3, 3),
    "absolute": lambda: Bad(holding(outside("/etc/passwd")), ("E0120",), 3, 3, 3),
    "data missing": lambda: Bad(holding(outside("none.bin")), ("E0125",), 3, 3, 3),
    "unknown operator": lambda: Bad(encoded(UNKNOWN), ("E0401",), 0, 0, 3),
    "opset of the future": lambda: Bad(future(), ("E0308",), 0, 1, 3),
    "function cycle": lambda: Bad(cycle(), ("E0305",), 0, 1, 3),
    "inlining bomb": lambda: Bad(inlining_bomb(), ("E0503",), 4, 4, 4),
    "doubling": lambda: Bad(doubling(40), ("E0506", "E0504"), 0, 1, 4),
    "doubled constant": lambda: Bad(constant_doubling(40), ("E0506", "E0504"), 0, 1, 4),
    "endless loop": lambda: Bad(endless_loop(), ("E0508",), 0, 1, 4),
    "large": lambda: Bad(expanding(10**12), ("E0506",), 0, 1, 4),
    "larger": lambda: Bad(expanding(2**61), ("E0504", "E0506"), 0, 1, 4),
}


def names() -> Iterator[str]:
    """The models by name."""
    yield from MODELS
