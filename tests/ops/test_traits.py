"""What operators say of themselves holds of their references."""

from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from sardonyx.core.dtype import Array
from sardonyx.graph.op import Op, Trait, as_arrays, registered

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, np.inf, -np.inf, np.nan, 3.0]
DTYPES = (np.float32, np.int32, np.bool_)


def kinds(trait: Trait) -> list[type[Op]]:
    """The operators with a trait."""
    found = (kind for known in registered().values() for kind in known.values())
    return [kind for kind in found if trait in kind.traits]


def bits(a: Array) -> Any:
    """The elements such that -0 and 0 differ and NaN is itself."""
    return [str(v) for v in a.reshape(-1)]


def inputs() -> list[Array]:
    """Elements of every sort."""
    with np.errstate(invalid="ignore"):
        return [np.nan_to_num(np.array(SPECIAL), posinf=9.0, neginf=-9.0).astype(d) if d is not
                np.float32 else np.array(SPECIAL, d) for d in DTYPES]  # fmt: skip


def once(kind: type[Op], *arrays: Array) -> Array | None:
    """The reference, None for a type that the operator is not made for."""
    try:
        return np.asarray(as_arrays(kind().reference(*arrays))[0])
    except TypeError:
        return None


@pytest.mark.parametrize("kind", kinds(Trait.IDEMPOTENT), ids=lambda k: k.__name__)
def test_idempotent(kind: type[Op]) -> None:
    made = [(x, once(kind, x)) for x in inputs()]
    assert any(y is not None for _, y in made)
    for _, y in made:
        if y is not None:
            again = once(kind, y)
            assert again is not None
            assert bits(again) == bits(y)


@pytest.mark.parametrize("kind", kinds(Trait.INVOLUTION), ids=lambda k: k.__name__)
def test_involution(kind: type[Op]) -> None:
    fits = {"Not": (np.bool_,), "BitwiseNot": (np.int32,)}.get(kind.name, (np.float32, np.int32))
    for x in inputs():
        if x.dtype in fits:
            y = once(kind, x)
            assert y is not None
            back = once(kind, y)
            assert back is not None
            assert bits(back) == bits(x)


@pytest.mark.parametrize("kind", kinds(Trait.JOINS), ids=lambda k: k.__name__)
def test_one_input_is_the_output(kind: type[Op]) -> None:
    given = {"axis": 0} if kind.name == "Concat" else {}
    x = inputs()[0]
    assert bits(as_arrays(kind(**given).reference(x))[0]) == bits(x)


NEUTRAL = [
    (kind, n)
    for known in registered().values()
    for kind in known.values()
    for n, element in enumerate(kind.neutral)
    if element is not None
]


@pytest.mark.parametrize(("kind", "n"), NEUTRAL)
def test_a_neutral_operand_leaves_the_other_one(kind: type[Op], n: int) -> None:
    element = kind.neutral[n]
    x = inputs()[2 if isinstance(element, bool) else 0]
    pair = [x, x]
    pair[n] = np.full_like(x, element)
    assert bits(as_arrays(kind().reference(*pair))[0]) == bits(x)


@pytest.mark.parametrize("kind", kinds(Trait.CLIPS), ids=lambda k: k.__name__)
def test_a_clipped_element_is_itself_or_a_limit(kind: type[Op]) -> None:
    x = np.linspace(-3, 3, 13, dtype=np.float32)
    y = as_arrays(kind().reference(x))[0]
    assert np.all((y == x) | (y == y.min()) | (y == y.max()))
    assert np.all(np.diff(y) >= 0)
