"""Makes a failing graph smaller while it still fails, in processes that may die.

    python -m fuzz.reduce SEED [SEED ...]         writes tests/fuzz/kept/seed<N>.txt

What is tried: fewer outputs, values as inputs instead of the nodes that make them, values in place
of what is made from them, fixed dims. A kept text reads back by
`texts.load`, its large constants made up again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import worker
from fuzz.graphs import grown
from fuzz.grow import feeds, symbols
from fuzz.ways import Way, complaints, ways
from sardonyx.core import knobs
from sardonyx.core.errors import SardonyxError
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.text import to_text
from sardonyx.passes.dead import DEAD
from sardonyx.passes.infer import infer

KEPT = Path(__file__).with_name("kept")

Fails = Callable[[Graph], bool]


def safely(question: Callable[[], bool]) -> bool:
    """The answer, found in a process of its own; one that dies says yes."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            os._exit(1 if question() else 0)
        except BaseException:  # noqa: BLE001 - the question could not be asked
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def fails(seed: int, way: Way, sizes: dict[str, int], kind: str = "") -> Fails:
    """Whether a graph has a complaint of a kind for this way and these sizes."""

    def ask(graph: Graph) -> bool:
        said = complaints(graph, [feeds(graph, sizes, seed)], [way])
        return any(kind_of(line).startswith(kind) for line in said)

    return lambda graph: safely(lambda: ask(graph))


def kind_of(complaint: str) -> str:
    """The sort of a complaint: an error's name and first words, or `elements`."""
    said = complaint.partition(": ")[2]
    return "elements" if " with {" in said else " ".join(said.split()[:4])


def first_failure(seed: int, graph: Graph) -> tuple[Way, dict[str, int], str] | None:
    """The first way and sizes for which a seed's graph fails, and how."""
    some = worker.sizes(seed) if symbols(graph) else worker.sizes(seed)[:1]
    for way in ways(seed):
        for one in some:
            if fails(seed, way, one)(graph):
                return (way, one, _kind(graph, seed, way, one))
    return None


def _kind(graph: Graph, seed: int, way: Way, sizes: dict[str, int]) -> str:
    """The kind of the complaint, empty where the process dies."""
    wrong = fails(seed, way, sizes, "elements")
    if wrong(graph):
        return "elements"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = next(complaints(graph, [feeds(graph, sizes, seed)], [way]), "")
        os.write(writer, kind_of(said).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    return os.read(reader, 1000).decode()


def reduced(graph: Graph, wrong: Fails) -> Graph:
    """A smaller graph of which `wrong` still holds."""
    while True:
        for smaller in candidates(graph):
            if wrong(smaller):
                graph = smaller
                break
        else:
            return graph


def candidates(graph: Graph) -> Iterator[Graph]:
    """Smaller graphs, those that lose most first; only well-formed ones."""
    for change in _changes(graph):
        made = clone(graph)
        try:
            change(made)
            DEAD(made)
            used = {v for n in made.nodes for v in n.inputs} | set(made.outputs)
            made.inputs = [v for v in made.inputs if v in used]
            infer(made)
        except (SardonyxError, IndexError, KeyError, AssertionError):
            continue
        if len(made) and (len(made), to_text(made)) != (len(graph), to_text(graph)):
            yield made


def _changes(graph: Graph) -> Iterator[Callable[[Graph], None]]:
    if len(graph.outputs) > 1:
        for n in range(len(graph.outputs)):
            yield lambda g, n=n: _keep_output(g, n)  # type: ignore[misc]
    for n in range(len(graph)):
        yield lambda g, n=n: _as_output(g, n)  # type: ignore[misc]
    for n in reversed(range(len(graph))):
        yield lambda g, n=n: _as_input(g, n)  # type: ignore[misc]
    for n in range(len(graph)):
        yield lambda g, n=n: _bypass(g, n)  # type: ignore[misc]


def _keep_output(g: Graph, n: int) -> None:
    g.outputs = [g.outputs[n]]


def _as_output(g: Graph, n: int) -> None:
    if len(g.outputs) > 1:
        raise IndexError
    found = g.nodes[n].outputs[0]
    assert found is not None
    g.outputs = [found]


def _as_input(g: Graph, n: int) -> None:
    node = g.nodes[n]
    for old in node.outputs:
        if old is None or not (old.uses or g.gives(old)):
            continue
        if g.gives(old):
            raise IndexError
        new = Value(f"in_{old.name}", old.type)
        g.inputs.append(new)
        g.replace(old, new)


def _bypass(g: Graph, n: int) -> None:
    node = g.nodes[n]
    old = node.outputs[0]
    assert old is not None
    for x in node.inputs:
        if x is not None and x.type == old.type and not g.gives(old):
            g.replace(old, x)
            return
    raise IndexError


def small(seed: int) -> str | None:
    """The text of the smallest graph found that fails as that of a seed; None where it is fine."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, knobs.override(cache_dir=folder):
        graph = grown(seed)
        found = first_failure(seed, graph)
        if found is None:
            return None
        way, one, kind = found
        least = reduced(graph, fails(seed, way, one, kind))
        return f"; {way}, {one}, {kind or 'it dies'}, seed {seed}\n{to_text(least)}"


def main(seeds: list[int]) -> None:
    """Reduces the graphs of seeds and keeps what remains."""
    for seed in seeds:
        text = small(seed)
        if text is None:
            print("seed", seed, "is fine")
            continue
        (KEPT / f"seed{seed}.txt").write_text(text, encoding="utf-8")
        print(text, flush=True)


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]])
