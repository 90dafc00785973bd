"""Damaged and hostile models: always an exception of ours, in bounded time and memory."""

import contextlib
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from formats.models import everything, nested_ifs, small
from formats.test_wire import mutate
from sardonyx import formats
from sardonyx.core.errors import InvalidArgument, SardonyxError
from sardonyx.core.tensor import Tensor
from sardonyx.formats.encode import encode
from sardonyx.formats.message import Message
from sardonyx.formats.packed import encode_varint
from sardonyx.formats.wire import decode
from sardonyx.graph.ir import Graph

DATA = Path(onnx.__file__).parent / "backend/test/data"
SEEDS: dict[str, Callable[[], bytes]] = {
    "everything": lambda: everything().SerializeToString(),
    "small": lambda: small().SerializeToString(),
    "nested": lambda: nested_ifs(12),
    "training": (DATA / "simple/test_gradient_of_add/model.onnx").read_bytes,
    "sequence": (DATA / "simple/test_sequence_model4/model.onnx").read_bytes,
    "convolution": (DATA / "pytorch-operator/test_operator_conv/model.onnx").read_bytes,
}


def use(graph: Graph) -> None:
    """Does with a loaded graph what a look at it does: data, text, saving."""
    for value in graph.initializers.values():
        str(value.type)
        if isinstance(value.const, Tensor) or value.const is not None:
            value.const.numpy()
    formats.to_bytes(graph)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_models_are_loaded_or_refused(seed: str) -> None:
    rng = random.Random(seed)
    whole = SEEDS[seed]()
    outcomes = {"used": 0, "refused": 0}
    begun = time.perf_counter()
    for _ in range(500):
        data = whole
        for _ in range(rng.randrange(1, 4)):
            data = mutate(data, rng) or b"\0"
        try:
            use(formats.load(data))
            outcomes["used"] += 1
        except SardonyxError as problem:
            problem.render()
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10, outcomes
    assert time.perf_counter() - begun < 60


def damage(message: Message, rng: random.Random) -> None:
    """Drops, doubles, swaps or changes a field somewhere in a message, structure kept."""
    holders = [message]
    while (nested := _nested(holders[-1])) and rng.random() < 0.8:
        holders.append(rng.choice(nested))
    fields = holders[-1].fields
    name = rng.choice(sorted(fields)) if fields else ""
    value = fields.get(name)
    match value:
        case int():
            fields[name] = rng.choice([0, -1, 1 << 31, (1 << 63) - 1, value + 1])
        case str():
            fields[name] = rng.choice(["", "x", "\x1b[2J", "a" * 100_000, "y"])
        case list() if value:
            fields[name] = rng.choice([value[1:], value * 2, value[::-1], value[:1] * 50])
        case None:
            return
        case _:
            del fields[name]


def _nested(message: Message) -> list[Message]:
    found: list[Message] = []
    for value in message.fields.values():
        items = value if isinstance(value, list) else [value]
        found.extend(m for m in items if isinstance(m, Message))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_models_damaged_in_structure_are_loaded_or_refused(seed: str) -> None:
    rng = random.Random(seed)
    whole = SEEDS[seed]()
    for _ in range(400):
        message = decode("ModelProto", whole)
        for _ in range(rng.randrange(1, 4)):
            damage(message, rng)
        with contextlib.suppress(SardonyxError):
            data = encode(decode("ModelProto", encode(message)))
            graph = formats.load(data)
            assert formats.to_bytes(graph) == data
            use(graph)


def frame(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return encode_varint(number << 3 | 2) + encode_varint(len(payload)) + payload


GRAPH, NODE, INITIALIZER, INPUT = 7, 1, 5, 11
RELU = frame(NODE, b"\x0a\x01x\x12\x01y\x22\x04Relu")
BOMBS: dict[str, Callable[[], bytes]] = {
    "empty nodes": lambda: b"\x0a\x00" * 4_000_000,
    "empty initializers": lambda: b"\x2a\x00" * 800_000,
    "inputs of a node": lambda: frame(NODE, b"\x0a\x00" * 2_400_000),
    "unknown fields": lambda: b"\xf8\x07\x00" * 800_000,
    "dims": lambda: frame(INITIALIZER, b"\x08\x01" * 8_000_000),
    "ints": lambda: frame(NODE, frame(5, b"\x0a\x01a\xa0\x01\x07" + b"\x40\x01" * 4_000_000)),
    "unused length": lambda: b"\x0a\xff\xff\xff\xff\x07",
}
CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from sardonyx import formats
from sardonyx.core.errors import SardonyxError
try:
    formats.load(sys.argv[1])
except SardonyxError as problem:
    sys.exit(10 + problem.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_in_bounded_time_and_memory(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.onnx"
    path.write_bytes(b"\x08\x0a" + frame(GRAPH, BOMBS[bomb]()))
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-c", CHILD, str(path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if bomb != "empty nodes":
        env["SARDONYX_LIMITS"] = "fields=2e6"
    done = subprocess.run(command, check=False, timeout=300, env=env)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun
    refused = {"ints": (0,), "dims": (13, 14)}
    assert done.returncode in refused.get(bomb, (13, 14))
    assert spent < 30


def test_load_time_is_linear_in_the_nodes() -> None:
    def seconds(count: int) -> float:
        data = b"\x08\x0a" + frame(GRAPH, RELU * count)
        times = []
        for _ in range(3):
            begun = time.thread_time()
            formats.load(data)
            times.append(time.thread_time() - begun)
        return min(times)

    assert seconds(16_000) < 40 * seconds(1_600)


def test_no_message_holds_what_a_terminal_would_obey() -> None:
    name = "\x1b]0;owned\x07\x1b[2J\u202e"
    model = small()
    model.graph.initializer[0].name = name
    model.graph.initializer[0].raw_data = b"1"
    with pytest.raises(SardonyxError) as caught:
        formats.load(model)
    text = caught.value.render()
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "owned" in text


def test_a_source_that_gives_no_bytes() -> None:
    class Text:
        def read(self, size: int = -1, /) -> str:
            return "text"

    with pytest.raises(InvalidArgument):
        formats.load(Text())  # type: ignore[arg-type]
