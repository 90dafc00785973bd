"""Models of the standard's node cases, changed in structure: loaded, checked and saved, or refused.

    python -m fuzz.mutants FIRST LAST [SECONDS]       (with `src` and `tests` on PYTHONPATH)

A number says which model is changed, and how: one to four changes, each of a message somewhere in
it. One mutant in RUN is run by the reference too, one in COMPILED natively. Prints those that do
what they may not, and keeps them in the folder `found`.
"""

from __future__ import annotations

import functools
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from conformance import node_cases
from fuzz.worker import outcomes
from ops.hostile import LIMITS
from sardonyx.core.errors import InternalError, SardonyxError
from sardonyx.formats import load, to_bytes
from sardonyx.formats.encode import encode
from sardonyx.formats.message import Message
from sardonyx.formats.wire import decode
from sardonyx.graph.check import verify
from sardonyx.passes.infer import infer
from sardonyx.session import InferenceSession

RUN, COMPILED = 20, 200
BATCH = 5000
MEMORY = 6 << 30
WHOLE = (
    -1,
    0,
    1,
    2,
    7,
    64,
    255,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    1 << 33,
    (1 << 63) - 1,
)
REAL = (0.0, -0.0, -1.0, 1e30, float("nan"), float("inf"))
TEXTS = ("", "x", "y", "\x1b[2J", "N", "a" * 5000)


@functools.cache
def seeds() -> list[tuple[str, bytes]]:
    """The models that are changed, by name."""
    found = node_cases.cases()
    return [(name, bytes(found[name].model.SerializeToString())) for name in sorted(found)]


def mutant(number: int) -> tuple[str, bytes]:
    """The case that a mutant is made of, and its bytes."""
    rng = random.Random(number)
    name, data = rng.choice(seeds())
    message = decode("ModelProto", data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        try:
            change(message, rng)
        except SardonyxError:
            break
    return name, bytes(encode(message))


def change(model: Message, rng: random.Random) -> None:
    """Changes one field of one message of a model."""
    held = list(_messages(model))
    message = rng.choice(held)
    if not message.fields:
        return
    name = rng.choice(sorted(message.fields))
    value = message.fields[name]
    match value:
        case Message():
            message.fields[name] = _like(value, rng)
        case bool() | int():
            message.fields[name] = rng.choice((*WHOLE, value + 1, value - 1, rng.randrange(40)))
        case float():
            message.fields[name] = rng.choice((*REAL, -value))
        case str():
            message.fields[name] = rng.choice((*TEXTS, *_texts(held), *_texts(held)))
        case list():
            message.fields[name] = _listed(list(value), held, rng)
        case bytes() | memoryview():
            message.fields[name] = _cut(bytes(value), rng)


def _messages(model: Message) -> Iterator[Message]:
    stack = [model]
    while stack:
        top = stack.pop()
        yield top
        for value in top.fields.values():
            items = value if isinstance(value, list) else [value]
            stack.extend(m for m in items if isinstance(m, Message))


def _texts(held: list[Message]) -> list[str]:
    """The names that a model has: nodes are wired anew, operators and types change places."""
    found = [v for m in held for v in m.fields.values() if isinstance(v, str)]
    return found + [
        v for m in held for vs in m.fields.values() if type(vs) is list
        for v in vs if isinstance(v, str)
    ]  # fmt: skip


def _like(value: Message, rng: random.Random) -> Message:
    """A message of the same kind from some other model, or an empty one."""
    _, data = rng.choice(seeds())
    alike = [m for m in _messages(decode("ModelProto", data)) if m.kind == value.kind]
    return rng.choice(alike) if alike else Message(value.kind)


def _listed(items: list[Any], held: list[Message], rng: random.Random) -> list[Any]:
    """A list with an item gone, doubled, moved or changed."""
    if not items:
        return items
    at = rng.randrange(len(items))
    match rng.randrange(5):
        case 0:
            del items[at]
        case 1:
            items.insert(rng.randrange(len(items) + 1), items[at])
        case 2:
            rng.shuffle(items)
        case 3:
            items = items[:at] + items[at : at + 1] * rng.choice((2, 70)) + items[at:]
        case _:
            items[at] = _other(items[at], held, rng)
    return items


def _other(item: Any, held: list[Message], rng: random.Random) -> Any:
    match item:
        case Message():
            return _like(item, rng)
        case int():
            return rng.choice((*WHOLE, item + 1))
        case float():
            return rng.choice(REAL)
        case str():
            return rng.choice((*TEXTS, *_texts(held)))
    return item


def _cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return rng.choice((data[:at], data + data[at:], data[:at] + rng.randbytes(4) + data[at + 4 :]))


def problems(number: int) -> list[str]:
    """What a mutant does that none may: an exception that is not ours."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    name, data = mutant(number)
    try:
        graph = load(data, LIMITS)
        with LIMITS.ruling():
            verify(graph, LIMITS)
            infer(graph, strict=False, limits=LIMITS)
        to_bytes(graph)
        if number % RUN == 0:
            _run(name, data, "native" if number % COMPILED == 0 else "reference")
    except InternalError as error:
        return [f"{name}: {error.message}"]
    except SardonyxError as error:
        error.render()
    except Exception as error:  # noqa: BLE001 - what is looked for
        return [f"{name}: {type(error).__name__}: {error}"]
    return []


def _run(name: str, data: bytes, provider: str) -> None:
    session = InferenceSession(data, providers=[provider], limits=LIMITS)
    arrays = [node_cases.plain(x) for x in node_cases.cases()[name].data_sets[0][0]]
    given = zip(session.graph.inputs, arrays, strict=False)
    with np.errstate(all="ignore"):
        session.run(None, {v.name: x for v, x in given if x is not None})


def main(first: int, last: int, seconds: float = 1e9) -> None:
    """See the module."""
    begun, done, folder = time.monotonic(), 0, Path("found")
    seeds()
    for number, lines in outcomes(first, last, problems, BATCH):
        done += 1
        if lines:
            print(number, *(line[:300] for line in lines), sep="\n  ", flush=True)
            folder.mkdir(exist_ok=True)
            (folder / f"mutant{number}.onnx").write_bytes(mutant(number)[1])
        if time.monotonic() - begun > seconds:
            break
    spent = sum(os.times()[:4])
    print(f"{done} mutants in {time.monotonic() - begun:.0f} s, {spent:.0f} s of processors")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))
