"""How forward() is called: nested arguments taken apart into named tensors, and put together again.

    Leaf      one input of the model, by name        Constant   what stays as it is
    Branch    a mapping, sequence or dataclass of these

The entry `ids` of a mapping that is the parameter `batch` is the input `batch.ids`, the first of a
tuple `pair.0`; a parameter that is a tensor itself has its own name.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sardonyx.convert.source import Feeds, Input, Request, Sample
from sardonyx.core.dim import Spec
from sardonyx.core.errors import ConvertError
from sardonyx.core.near import near


class Traceable(Protocol):
    """A module with what an exporter must know of it: how it is called, and on what."""

    model: Any
    call: Call
    inputs: Sequence[Input]
    request: Request

    @property
    def training(self) -> bool:
        """Whether dropout and batch norms are exported as they are trained."""

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Sample]:
        """Made-up inputs of these sizes."""

    def forward(self, model: Any, feeds: Feeds) -> Any:
        """What forward() returns."""


@dataclass(frozen=True)
class Leaf:
    """An input of the model."""

    name: str


@dataclass(frozen=True)
class Constant:
    """An argument that is no tensor: the same in every call."""

    value: Any


@dataclass(frozen=True)
class Branch:
    """A container, which `make` makes from its parts."""

    make: Callable[[list[Any]], Any]
    parts: tuple[Tree, ...]


Tree: TypeAlias = "Leaf | Constant | Branch"


def build(tree: Tree, tensors: Mapping[str, Any]) -> Any:
    """The argument, with its tensors by the names of the leaves."""
    if isinstance(tree, Leaf):
        return tensors[tree.name]
    if isinstance(tree, Constant):
        return tree.value
    return tree.make([build(part, tensors) for part in tree.parts])


def leaves(tree: Tree) -> Iterator[str]:
    """The names of the tensors, in order."""
    if isinstance(tree, Leaf):
        yield tree.name
    elif isinstance(tree, Branch):
        for part in tree.parts:
            yield from leaves(part)


def taken_apart(name: str, value: Any) -> tuple[Tree, dict[str, Any]]:
    """An example argument as a tree, and its tensors and arrays by name."""
    if hasattr(value, "__array__"):
        return Leaf(name), {name: value}
    found = _parts(value)
    if found is None:
        return Constant(value), {}
    make, items = found
    parts: list[Tree] = []
    held: dict[str, Any] = {}
    for key, item in items:
        tree, inside = taken_apart(f"{name}.{key}", item)
        parts.append(tree)
        held |= inside
    return Branch(make, tuple(parts)), held


def _parts(value: Any) -> tuple[Callable[[list[Any]], Any], list[tuple[str, Any]]] | None:
    """How to make a container from its parts, and the parts; None for what is none."""
    if isinstance(value, Mapping):
        return _mapping(list(value)), [(str(k), x) for k, x in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if f.init]
        return _record(type(value), names), [(n, getattr(value, n)) for n in names]
    fields = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields is not None:
        return _record(type(value), list(fields)), list(zip(fields, value, strict=True))
    if isinstance(value, list | tuple):
        return type(value), [(str(n), x) for n, x in enumerate(value)]
    return None


def _mapping(keys: list[Any]) -> Callable[[list[Any]], Any]:
    return lambda parts: dict(zip(keys, parts, strict=True))


def _record(kind: Any, names: list[str]) -> Callable[[list[Any]], Any]:
    return lambda parts: kind(**dict(zip(names, parts, strict=True)))


@dataclass(frozen=True)
class Call:
    """The arguments of forward() as trees: positional ones, and those by keyword."""

    args: tuple[Tree, ...] = ()
    kwargs: Mapping[str, Tree] = dataclasses.field(default_factory=dict)

    def build(self, tensors: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of one call."""
        args = tuple(build(tree, tensors) for tree in self.args)
        return args, {name: build(tree, tensors) for name, tree in self.kwargs.items()}

    def names(self) -> list[str]:
        """The names of all tensors, in the order of the arguments."""
        trees = (*self.args, *self.kwargs.values())
        return [name for tree in trees for name in leaves(tree)]

    @property
    def nested(self) -> bool:
        """Whether an argument is something else than a tensor."""
        return not all(isinstance(t, Leaf) for t in (*self.args, *self.kwargs.values()))


def parameters(forward: Any) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by keyword; {} where forward() takes any."""
    try:
        found = inspect.signature(forward).parameters
    except (TypeError, ValueError):
        return {}
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(p.kind is p.VAR_POSITIONAL for p in found.values()):
        return {}
    return {name: p for name, p in found.items() if p.kind in plain}


def of_specs(forward: Any, specs: Sequence[Spec]) -> Call:
    """How forward() takes inputs of these names: by keyword where the first part of every name is a
    parameter, else by position. ConvertError (E0608) where they do not fit.
    """
    if not specs:
        return Call()
    known = parameters(forward)
    groups: dict[str, list[tuple[str, ...]]] = {}
    for spec in specs:
        stem, *rest = spec.name.split(".")
        groups.setdefault(stem, []).append(tuple(rest))
    if not (known and all(stem in known for stem in groups)):
        _check_positional(groups, known)
        return Call(tuple(_grown(stem, paths, None) for stem, paths in groups.items()))
    _check_required(groups, known)
    kinds = _annotations(forward)
    ordered = [name for name in known if name in groups]
    return Call((), {name: _grown(name, groups[name], kinds.get(name)) for name in ordered})


def _check_positional(groups: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    fitting = [stem for stem in groups if stem in known]
    if not fitting and not len(groups) > len(known) > 0:
        return
    odd = next(stem for stem in groups if stem not in fitting)
    hint = near(odd, known)
    if len(known) == 1 and len(groups) > 1:
        only = next(iter(known))
        hint = f"where `{only}` is a mapping, its entries are --input {only}.{odd}=..."
    raise ConvertError(
        "E0608", f"forward() has no parameter `{odd}`", wanted=", ".join(known), hint=hint
    )


def _check_required(given: Mapping[str, Any], known: Mapping[str, inspect.Parameter]) -> None:
    for name, p in known.items():
        if p.default is p.empty and name not in given:
            raise ConvertError(
                "E0608",
                f"forward() needs `{name}`",
                given=", ".join(given),
                wanted=", ".join(known),
                hint=f"add --input {name}=...",
            )


def _annotations(forward: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(forward)
    except Exception:  # noqa: BLE001 - an annotation is the user's own expression
        return {}


def _grown(name: str, paths: list[tuple[str, ...]], kind: Any) -> Tree:
    """The tree whose leaves are at these paths below a parameter of that annotation."""
    if paths == [()]:
        return Leaf(name)
    below: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        if not path:
            raise ConvertError("E0608", f"`{name}` cannot be a tensor and hold others")
        below.setdefault(path[0], []).append(path[1:])
    kinds = _annotations(kind) if isinstance(kind, type) else {}
    parts = tuple(_grown(f"{name}.{k}", rest, kinds.get(k)) for k, rest in below.items())
    return Branch(_container(list(below), kind), parts)


def _container(keys: list[str], kind: Any) -> Callable[[list[Any]], Any]:
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        return _record(kind, keys)
    if keys == [str(n) for n in range(len(keys))]:
        return list if kind is list or typing.get_origin(kind) is list else tuple
    return _mapping(keys)


def of_example(
    forward: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Call, dict[str, Any]]:
    """How forward() takes these examples, and their tensors by name; ConvertError (E0608)."""
    signature = inspect.signature(forward)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as problem:
        known = ", ".join(signature.parameters)
        raise ConvertError("E0608", f"forward() {problem}", wanted=known) from None
    by_position = [taken_apart(name, x) for name, x in _named(signature, bound.args)]
    by_keyword = {name: taken_apart(name, x) for name, x in bound.kwargs.items()}
    held = {n: x for _, inside in (*by_position, *by_keyword.values()) for n, x in inside.items()}
    kwargs = {name: tree for name, (tree, _) in by_keyword.items()}
    if not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        plain = dict(zip(signature.parameters, (tree for tree, _ in by_position), strict=False))
        return Call((), {**plain, **kwargs}), held
    return Call(tuple(tree for tree, _ in by_position), kwargs), held


def _named(signature: inspect.Signature, args: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Positional arguments with the names of their parameters; those of `*xs` are `xs.0` on."""
    names = list(signature.parameters)
    for n, x in enumerate(args):
        spread = next(
            (k for k, p in enumerate(signature.parameters.values()) if p.kind is p.VAR_POSITIONAL),
            len(names),
        )
        yield (names[n] if n < spread else f"{names[spread]}.{n - spread}"), x
