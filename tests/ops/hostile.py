"""Operators given what no model should give them: huge, negative, empty, misshapen, mistyped.

    python -m ops.hostile PROVIDER [FIRST [LAST]]       (with `src` and `tests` on PYTHONPATH)

tries the cases FIRST to LAST of the standard, in the order of their operators; prints each, and
whatever ended otherwise than with an answer or an error of ours. The trials of a case are its own
inputs and attributes, each in turn replaced by every hostile value of its kind. Trials are made in
a child with an address space of its own; behind one that ends it, another goes on.
"""

import copy
import functools
import json
import resource
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from conformance import node_cases
from fuzz.requests import FAILED
from fuzz.worker import cache, said_by
from sardonyx.core.errors import SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.engine.code import object as codegen
from sardonyx.session import InferenceSession

SECONDS = 20
MEMORY = 3 << 29
BATCH = 10
ADDRESSES = 6 << 30
LIMITS = Limits(
    memory_bytes=1 << 30,
    run_seconds=4.0,
    compile_seconds=8.0,
    trips=20_000,
    fold_bytes=1 << 24,
    tensor_bytes=1 << 32,
)
WHOLE = (-1, 0, 65, 1 << 31, -(1 << 31), 1 << 33, (1 << 63) - 1, -(1 << 63))
REAL = (0.0, -1.0, 1e30, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "nonsense", "\0", "a" * 5000)

Trial = tuple[str, onnx.ModelProto, list[Any]]


@functools.cache
def names() -> list[str]:
    """The cases that trials are made of: those of one node, in the order of their operators."""
    found = {name: case.model.graph.node for name, case in node_cases.cases().items()}
    single = ((nodes[0].op_type, name) for name, nodes in found.items() if len(nodes) == 1)
    return [name for _, name in sorted(single)]


def trials(name: str) -> Iterator[Trial]:
    """Every hostile variant of a case: what it is, its model, its inputs in order."""
    case = node_cases.cases()[name]
    feeds = [node_cases.plain(x) for x in case.data_sets[0][0]]
    opened = _opened(case.model)
    yield "as it is", opened, feeds
    for n, attribute in enumerate(case.model.graph.node[0].attribute):
        for label, changed in _attributes(attribute):
            model = copy.deepcopy(opened)
            model.graph.node[0].attribute[n].CopyFrom(changed)
            yield f"{attribute.name}={label}", model, feeds
    for n, x in enumerate(feeds):
        if isinstance(x, np.ndarray):
            for label, array in _arrays(x):
                given = [*feeds[:n], array, *feeds[n + 1 :]]
                yield f"input {n} {label}", _declared(opened, n, array), given
                yield f"constant {n} {label}", _constant(opened, n, array), _without(given, n)
    node = case.model.graph.node[0]
    for n, given_name in enumerate(node.input):
        if given_name:
            model = copy.deepcopy(opened)
            model.graph.node[0].input[n] = ""
            yield f"no input {n}", model, feeds


def _opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every dim of its inputs free and nothing said of its outputs' shapes."""
    made = copy.deepcopy(model)
    for value in (*made.graph.input, *made.graph.output):
        for number, kind in enumerate(_tensors(value.type)):
            if kind.HasField("shape"):
                for axis, dim in enumerate(kind.shape.dim):
                    dim.Clear()
                    dim.dim_param = f"{value.name}_{number}_{axis}"
    for value in made.graph.output:
        for kind in _tensors(value.type):
            kind.ClearField("shape")
    return made


def _tensors(kind: Any) -> list[Any]:
    return [kind.tensor_type] if kind.HasField("tensor_type") else []


def _declared(model: onnx.ModelProto, n: int, array: Any) -> onnx.ModelProto:
    made = copy.deepcopy(model)
    value = made.graph.input[n]
    dims = [f"{value.name}_h{axis}" for axis in range(array.ndim)]
    kind = _number(array)
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, dims))
    return made


def _number(array: Any) -> int:
    if array.dtype == object:
        return int(onnx.TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _constant(model: onnx.ModelProto, n: int, array: Any) -> onnx.ModelProto:
    made = copy.deepcopy(model)
    name = made.graph.input[n].name
    del made.graph.input[n]
    if array.dtype == object:
        words = [str(w).encode() for w in array.reshape(-1)]
        tensor = helper.make_tensor(name, onnx.TensorProto.STRING, array.shape, words)
    else:
        tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
    made.graph.initializer.append(tensor)
    return made


def _without(feeds: list[Any], n: int) -> list[Any]:
    return [*feeds[:n], *feeds[n + 1 :]]


def _arrays(x: Any) -> Iterator[tuple[str, Any]]:
    yield "scalar", x.reshape(-1)[0].reshape(()) if x.size and x.dtype != object else _empty(x)
    yield "empty", np.zeros((0, *x.shape[1:]), x.dtype)
    yield "deeper", x.reshape((*x.shape, 1))
    if x.ndim:
        yield "longer", np.concatenate([x, x], 0)
        yield "shorter", x[: max(len(x) - 1, 0)]
        yield "flat", x.reshape(-1)
    yield "text", np.full(x.shape, "x", object)
    for kind in ("float32", "int64", "bool"):
        if x.dtype != kind and x.dtype.kind in "fiub":
            yield kind, np.ones(x.shape, kind)
    values: tuple[Any, ...] = ()
    if x.dtype.kind in "iu":
        info = np.iinfo(x.dtype)
        values = (*(w for w in WHOLE if info.min <= w <= info.max), info.max, info.min)
    elif x.dtype.kind == "f":
        values = REAL
    elif x.dtype == object:
        values = TEXTS
    for value in dict.fromkeys(values):
        with np.errstate(all="ignore"):
            made = np.full(x.shape, value, x.dtype)
        yield f"{value!r:.20}", made


def _empty(x: Any) -> Any:
    return np.full((), "" if x.dtype == object else 0, x.dtype)


def _attributes(attribute: AttributeProto) -> Iterator[tuple[str, AttributeProto]]:
    kind, name = attribute.type, attribute.name
    if kind == AttributeProto.TENSOR and attribute.t.data_type != onnx.TensorProto.STRING:
        for label, changed in _arrays(numpy_helper.to_array(attribute.t)):
            if changed.dtype != object:
                tensor = numpy_helper.from_array(np.ascontiguousarray(changed), attribute.t.name)
                yield label, helper.make_attribute(name, tensor)
    for value in _values(attribute):
        if value or not isinstance(value, list):
            yield f"{value!r:.40}", helper.make_attribute(name, value, attr_type=kind)


def _values(attribute: AttributeProto) -> list[Any]:
    kind = attribute.type
    if kind == AttributeProto.INT:
        return list(WHOLE)
    if kind == AttributeProto.FLOAT:
        return list(REAL)
    if kind == AttributeProto.STRING:
        return [t.encode() for t in TEXTS]
    if kind == AttributeProto.STRINGS:
        return [[b"nonsense"] * len(attribute.strings), [b""]]
    if kind == AttributeProto.INTS:
        whole = list(attribute.ints)
        return [*([w, *whole[1:]] for w in WHOLE), [*whole, 1], whole[:-1], [1] * 70]
    if kind == AttributeProto.FLOATS:
        real = list(attribute.floats)
        return [*([w, *real[1:]] for w in REAL), [*real, 1.0], real[:-1]]
    return []


def attempt(model: onnx.ModelProto, feeds: list[Any], provider: str) -> str | None:
    """What a trial did that it may not: an exception not ours, memory; None where all is well."""
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    found = _outcome(model, feeds, provider)
    grown = _memory("VmHWM") - before
    return f"took {grown >> 20} MiB" if found is None and grown > MEMORY else found


def _memory(name: str) -> int:
    """A line of this process's state, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name)) << 10


def _outcome(model: onnx.ModelProto, feeds: list[Any], provider: str) -> str | None:
    try:
        session = _session(model.SerializeToString(), provider)
        given = [v.name for v in model.graph.input]
        session.run(None, dict(zip(given, feeds, strict=True)))
    except SardonyxError as error:
        return f"{error.code}: {error.message}" if error.code in FAILED else None
    except Exception as error:  # noqa: BLE001 - what is looked for
        return f"{type(error).__name__}: {error}"
    return None


@functools.lru_cache(8)
def _session(data: bytes, provider: str) -> InferenceSession:
    """Many trials of a case are one model with other inputs."""
    return InferenceSession(data, providers=[provider], limits=LIMITS)


def tried(
    provider: str, cases: Sequence[int], folder: Path, share: int = 1
) -> tuple[int, list[str]]:
    """How many trials of the cases were made, one in `share`, and what those did that may not be.

    Compiled code is kept in `folder`.
    """
    made, found = 0, list[str]()
    left, skip = list(cases), 0
    while left:
        said, status = said_by(partial(_try, provider, left, share, skip), folder)
        rows = [json.loads(line) for line in said.splitlines()]
        found += [f"{row['trial']}: {row['fault']}" for row in rows if "fault" in row]
        starts = [row for row in rows if "fault" not in row]
        made += len(starts)
        if not status:
            break
        last: dict[str, Any] = starts[-1] if starts else {"trial": f"none of {left}"}
        found.append(f"{last['trial']}: the process ended with {status}")
        left = left[left.index(last["case"]) :] if starts else []
        skip = last.get("number", 0) + 1
    return made, found


def _try(provider: str, cases: Sequence[int], share: int, skip: int, out: TextIO) -> None:
    """A line before each trial, so that it is known which one ended the process.

    Code is generated in a hurry: how good it is, nobody asks.
    """
    codegen._OPT = 0
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    np.seterr(all="ignore")
    for case in cases:
        kind = node_cases.cases()[names()[case]].model.graph.node[0].op_type
        for number, (label, model, feeds) in enumerate(trials(names()[case])):
            whole = f"{kind} {names()[case]}: {label}"
            if zlib.crc32(whole.encode()) % share or (case == cases[0] and number < skip):
                continue
            row = {"case": case, "number": number, "trial": whole}
            print(json.dumps(row), file=out, flush=True)
            signal.alarm(SECONDS)
            fault = attempt(model, feeds, provider)
            signal.alarm(0)
            if fault is not None:
                print(json.dumps({"trial": whole, "fault": fault[:300]}), file=out, flush=True)


def main(provider: str, first: int = 0, last: int = 1 << 20) -> None:
    """See the module."""
    whole, last = 0, min(last, len(names()))
    with cache() as folder:
        for start in range(first, last, BATCH):
            cases = range(start, min(start + BATCH, last))
            begun = time.monotonic()
            made, found = tried(provider, cases, folder)
            whole += made
            said = f"{start} {names()[start]}: {made} in {time.monotonic() - begun:.0f} s"
            print(said, *found, sep="\n    ", flush=True)
    print(whole, "trials")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
