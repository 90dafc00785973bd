"""ONNX Runtime as one of the ways, in a process that may die, where its results are defined.

It has the graph at the newest opset that it knows, unoptimised. Where it refuses a model or a
request, or is known to depart from the standard, it has no say: `Silent` tells why.
"""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import SardonyxError
from sardonyx.formats import to_bytes
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Node, subgraphs
from sardonyx.passes.infer import infer
from sardonyx.passes.version import upgrade

# The newest opset of ai.onnx that the oldest release we test with runs.
OPSET = 23
PROGRAM = Path(__file__).with_name("beside.py")


class Silent(Exception):  # noqa: N818
    """ONNX Runtime has no say, for this reason."""


class Process:
    """A process that answers; it is started anew after it died."""

    def __init__(self) -> None:
        self._held: subprocess.Popen[bytes] | None = None

    def ask(self, what: str, given: Any) -> list[Any]:
        """The outputs; Silent where there are none."""
        held = self._held = self._held or _started()
        assert held.stdin is not None
        assert held.stdout is not None
        try:
            pickle.dump((what, given), held.stdin)
            held.stdin.flush()
            answer: list[Any] | str = pickle.load(held.stdout)
        except (EOFError, BrokenPipeError):
            held.kill()
            self._held = None
            raise Silent(f"it ended with {held.wait()}") from None
        if isinstance(answer, str):
            raise Silent(answer)
        return answer


def _started() -> subprocess.Popen[bytes]:
    quiet = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    return subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=quiet,
    )


@functools.cache
def process(owner: int) -> Process:
    """The one of a process of ours by its number: a fork starts its own."""
    del owner
    return Process()


class Session:
    """What the process has loaded, with `run` as our sessions have it."""

    def __init__(self, graph: Graph) -> None:
        moved = _moved(graph)
        why = next((why for node in _nodes(moved) if (why := departure(node))), "")
        if why:
            raise Silent(why)
        process(os.getpid()).ask("load", to_bytes(moved))

    def run(self, names: None, feeds: Mapping[str, Array]) -> list[Any]:
        """The outputs in order."""
        del names
        return process(os.getpid()).ask("run", dict(feeds))


def _moved(graph: Graph) -> Graph:
    held = {v.dtype for v in (*graph.inputs, *graph.outputs)}
    if not held <= set(map(DType.from_numpy, _PLAIN)) | {DType.STRING}:
        raise Silent("numpy has not all of the types by itself")
    try:
        made = upgrade(graph, min(OPSET, graph.opsets[""]), _ml(graph))
        infer(made.graph)
    except SardonyxError as error:
        raise Silent(error.message) from None
    if made.refused:
        raise Silent(str(made.refused[0].reason))
    return made.graph


def _ml(graph: Graph) -> int | None:
    """The opset of ai.onnx.ml: the newest one has no lists of nodes, the one before no arrays."""
    if "ai.onnx.ml" not in graph.opsets:
        return None
    return 5 if any(node.op.op_type == "TreeEnsemble" for node in _nodes(graph)) else 4


_PLAIN = [
    np.dtype(k) for k in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
]


def _nodes(graph: Graph) -> Iterator[Node]:
    return (node for body in bodies(graph) for node in body.nodes)


Departs = Callable[[Node], bool]


def _is(*kinds: str) -> Departs:
    return lambda node: node.op.op_type in kinds


def _gives_twice(node: Node) -> bool:
    return any(len(set(body.outputs)) < len(body.outputs) for body in subgraphs(node.op))


def _aligns(node: Node) -> bool:
    way = getattr(node.op, "coordinate_transformation_mode", "")
    return node.op.op_type == "Resize" and way == "align_corners"


def _labels_two(node: Node) -> bool:
    ids = getattr(node.op, "class_ids", None) or ()
    return node.op.op_type == "TreeEnsembleClassifier" and len(set(ids)) == 2


def _wraps(node: Node) -> bool:
    return node.op.op_type == "Pad" and getattr(node.op, "mode", "") == "wrap"


def _trains(node: Node) -> bool:
    return node.op.op_type == "Dropout" or bool(getattr(node.op, "training_mode", 0))


def _looks_up(node: Node) -> bool:
    return getattr(node.op, "membership_values", None) is not None


DEPARTURES: dict[str, Departs] = {
    "of a value that a body gives twice it keeps one": _gives_twice,
    "a length of 7.5 is 7 where corners are aligned": _aligns,
    "of two classes that both have scores it says 0 and 1": _labels_two,
    "it draws other numbers, and overwrites the means that it is given": _trains,
    "where its output has a shape it counts in that": lambda node: (
        node.op.op_type == "MaxUnpool" and len(node.inputs) > 2
    ),
    "it cuts before it wraps": _wraps,
    "it finds -2.5 in a set with -2": _looks_up,
    "it subtracts two squares, whose difference may be below 0": _is("MeanVarianceNormalization"),
    "its sums of waves are a thousand times less exact": _is("DFT", "STFT"),
}


def departure(node: Node) -> str:
    """Why ONNX Runtime is no oracle for a node, or an empty string."""
    return next((why for why, departs in DEPARTURES.items() if departs(node)), "")
