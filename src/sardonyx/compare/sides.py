"""The two sides of a comparison: anything that makes outputs from inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.errors import InvalidArgument
from sardonyx.core.limits import Limits
from sardonyx.graph.ir import Graph
from sardonyx.session import InferenceSession, SessionOptions

Outputs: TypeAlias = "Mapping[str, Any] | Sequence[Any]"
DEFAULT = "CPUExecutionProvider"


@dataclass(frozen=True)
class Side:
    """`run` makes outputs from arrays by input name: a mapping, or a sequence where outputs have no
    names. `inputs` are the names that must be fed, None when any will do (then arrays are taken by
    position). `graph` is the model behind it, `provider` who runs it, if there is one.
    """

    label: str
    run: Callable[[Mapping[str, Any]], Outputs]
    inputs: tuple[str, ...] | None = None
    graph: Graph | None = None
    provider: str = ""
    threads: int = field(default=0, compare=False)

    def feed(self, feeds: Mapping[str, Any]) -> Outputs:
        """The outputs for feeds that may carry the other side's names.

        InvalidArgument (E0761) where their number is another.
        """
        if self.inputs is None or set(self.inputs) <= set(feeds):
            names = feeds if self.inputs is None else self.inputs
            return self.run({name: feeds[name] for name in names})
        if len(self.inputs) != len(feeds):
            raise InvalidArgument(
                "E0761",
                f"{self.label} has other inputs",
                given=", ".join(feeds),
                wanted=", ".join(self.inputs),
            )
        return self.run(dict(zip(self.inputs, feeds.values(), strict=True)))


def of_model(
    model: Any,
    provider: str = DEFAULT,
    threads: int = 0,
    limits: Limits | None = None,
    label: str = "",
) -> Side:
    """A model (anything that `load` accepts, or a Graph) run by a provider."""
    options = SessionOptions(intra_op_num_threads=threads)
    session = InferenceSession(model, options, [provider], limits=limits)
    names = [o.name for o in session.get_outputs()]

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(names, session.run(None, feeds), strict=True))

    inputs = tuple(i.name for i in session.get_inputs())
    found = label or name_of(model, session.graph)
    return Side(found, run, inputs, session.graph, provider, threads)


def name_of(model: Any, graph: Graph | None = None) -> str:
    """What to call a model: its file, else the name of its graph."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    return (graph.name if graph is not None else "") or "the model"


def flat(outputs: Outputs) -> dict[str, Any]:
    """The tensors of outputs by name: members of sequences as `name[0]`, nameless ones as `0`.

    What maps hold for a key, in all rows of a sequence of them, is `name['key']`.
    """
    found: dict[str, Any] = {}
    if isinstance(outputs, Mapping):
        items = list(outputs.items())
    else:
        items = [(str(n), x) for n, x in enumerate(outputs)]
    for name, x in items:
        rows = [x] if isinstance(x, Mapping) else x
        if isinstance(rows, list | tuple) and rows and isinstance(rows[0], Mapping):
            found |= _columns(name, rows)
        elif isinstance(x, list | tuple):
            found |= {f"{name}[{n}]": item for n, item in enumerate(x)}
        else:
            found[name] = x
    return found


def _columns(name: str, rows: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """The values of maps, an array for each key; those of a key that not all have stay apart."""
    keys = dict.fromkeys(key for row in rows for key in row)
    held = {key: [row[key] for row in rows if key in row] for key in keys}
    return {f"{name}[{key!r}]": _array(values) for key, values in held.items()}


def _array(values: list[Any]) -> Any:
    """The values of one key; numbers of a map that ZipMap makes are those of a float32 tensor."""
    return np.array(values, np.float32 if type(values[0]) is float else None)


def paired(a: Outputs, b: Outputs) -> list[tuple[str, Any, Any]]:
    """(name, output of a, output of b): by name where both have the names, else by position.

    InvalidArgument (E0762) where the outputs cannot be paired.
    """
    left, right = flat(a), flat(b)
    if set(left) == set(right):
        return [(name, x, right[name]) for name, x in left.items()]
    if len(left) == len(right):
        named = isinstance(a, Mapping)
        rows = zip(left.items(), right.items(), strict=True)
        return [(p if named else q, x, y) for (p, x), (q, y) in rows]
    raise InvalidArgument(
        "E0762",
        f"{len(left)} outputs cannot be compared with {len(right)}",
        given=", ".join(right),
        wanted=", ".join(left),
    )
