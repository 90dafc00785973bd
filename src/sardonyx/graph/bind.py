"""From the shapes of the fed arrays to the numbers behind a model's symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sardonyx.core.errors import ShapeMismatch
from sardonyx.core.expr import Expr, evaluate, name_of, number, show
from sardonyx.graph.ir import Value

Bindings = dict[Expr, int]


def bind(
    inputs: Iterable[Value],
    shapes: Mapping[str, Sequence[int]],
    assumed: Iterable[tuple[Expr, Expr]] = (),
) -> Bindings:
    """The value of every symbol, given the shape of each input by name.

    Raises ShapeMismatch (E0205 for rank and fixed dims, E0206 where one symbol is fed two values,
    E0207 where dims that shape inference took as equal differ).
    """
    env: Bindings = {}
    origin: dict[Expr, str] = {}
    late: list[tuple[Expr, int, Value, int]] = []
    for value, shape in _ranked(inputs, shapes):
        for axis, (dim, given) in enumerate(zip(value.type.dims, shape, strict=True)):
            if dim.op == "var":
                known = env.setdefault(dim, given)
                if known != given:
                    raise _two_values(dim, known, origin[dim], given, value, shape)
                origin.setdefault(dim, value.name)
            else:
                late.append((dim, given, value, axis))
    for dim, given, value, axis in late:
        wanted = number(dim) if dim.is_const else _evaluate(dim, env)
        if wanted is not None and wanted != given:
            size = str(wanted) if dim.is_const else f"{show(dim)} = {wanted}"
            what = f"has {given} in dim {axis} where the model wants {size}"
            raise _mismatch("E0205", what, value, shapes[value.name])
    _check_assumed(assumed, env)
    return env


def _ranked(
    inputs: Iterable[Value], shapes: Mapping[str, Sequence[int]]
) -> Iterable[tuple[Value, Sequence[int]]]:
    for value in inputs:
        shape = shapes.get(value.name)
        if value.shape is None or shape is None:
            continue
        if len(shape) != len(value.shape):
            what = f"has rank {len(shape)}, the model wants {len(value.shape)}"
            raise _mismatch("E0205", what, value, shape)
        yield value, shape


def _check_assumed(assumed: Iterable[tuple[Expr, Expr]], env: Bindings) -> None:
    for a, b in assumed:
        left, right = _evaluate(a, env), _evaluate(b, env)
        if left is not None and right is not None and left != right:
            raise ShapeMismatch(
                "E0207",
                f"the dims `{show(a)}` = {left} and `{show(b)}` = {right} must be equal",
                hint="feed arrays whose shapes agree in these dims",
            )


def _evaluate(dim: Expr, env: Bindings) -> int | None:
    return evaluate(dim, env) if all(v in env for v in dim.free) else None


def _text(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _mismatch(code: str, what: str, value: Value, shape: Sequence[int]) -> ShapeMismatch:
    return ShapeMismatch(
        code,
        f"input `{value.name}` {what}",
        tensor=value.name,
        given=f"{value.dtype}{_text(shape)}",
        wanted=str(value.type),
        hint="reshape the array, or convert the model with a symbolic dim there",
    )


def _two_values(
    dim: Expr, known: int, first: str, given: int, value: Value, shape: Sequence[int]
) -> ShapeMismatch:
    return ShapeMismatch(
        "E0206",
        f"`{name_of(dim)}` is {known} in `{first}`, {given} in `{value.name}`",
        tensor=value.name,
        given=f"{value.dtype}{_text(shape)}",
        wanted=str(value.type),
        hint=f"feed the same size wherever the model says `{name_of(dim)}`",
    )
