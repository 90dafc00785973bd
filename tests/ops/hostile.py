"""Operators given what no model should give them: huge, negative, empty, misshapen, mistyped.

    python -m ops.hostile PROVIDER FIRST STEP SHARE SKIP

tries every STEP-th case from FIRST on, one in SHARE of its variants (SKIP of the first passed by).
Prints a line before each trial, so that whoever watches knows which one killed or stalled it, and
one for each trial that ended otherwise than with an answer or an error of ours. The trials of a
case are its own inputs and attributes, each in turn replaced by every hostile value of its kind.
"""

import copy
import json
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from conformance import node_cases
from sardonyx.core.errors import InternalError, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.session import InferenceSession

SECONDS = 20
MEMORY = 3 << 29
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


def names() -> list[str]:
    """The cases that trials are made of: those of one node."""
    return [name for name, case in node_cases.cases().items() if len(case.model.graph.node) == 1]


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
        data = model.SerializeToString()
        session = InferenceSession(data, providers=[provider], limits=LIMITS)
        given = [v.name for v in model.graph.input]
        session.run(None, dict(zip(given, feeds, strict=True)))
    except InternalError as error:
        return f"InternalError: {error.message}"
    except SardonyxError:
        return None
    except Exception as error:  # noqa: BLE001 - what is looked for
        return f"{type(error).__name__}: {error}"
    return None


def main(provider: str, first: int, step: int, share: int, skip: int) -> None:
    """See the module; `skip` trials of the first case are passed by."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for n, name in enumerate(names()):
        if n < first or (n - first) % step:
            continue
        kind = node_cases.cases()[name].model.graph.node[0].op_type
        for number, (label, model, feeds) in enumerate(trials(name)):
            whole = f"{kind} {name}: {label}"
            if zlib.crc32(whole.encode()) % share or (n == first and number < skip):
                continue
            print(json.dumps({"at": n, "number": number, "trial": whole}), flush=True)
            signal.alarm(SECONDS)
            found = attempt(model, feeds, provider)
            signal.alarm(0)
            if found is not None:
                print(json.dumps({"at": n, "trial": whole, "fault": found[:300]}), flush=True)


if __name__ == "__main__":
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    np.seterr(all="ignore")
    main(sys.argv[1], *map(int, sys.argv[2:]))
