"""Steps that move elements: views, joins, cuts, padding, gathers, shape arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuzz.grow import Grower, Skip, dim, is_float, known, rank
from sardonyx.core.dtype import DType
from sardonyx.graph.ir import Value


def transpose(g: Grower) -> None:
    """A permutation."""
    x = g.pick(lambda v: rank(v) >= 2)
    g.emit("Transpose", x, perm=tuple(g.rng.permutation(rank(x)).tolist()))


def reshape(g: Grower) -> None:
    """A Reshape by constants: two neighbours joined, or one split."""
    x = g.pick(lambda v: rank(v) >= 1)
    kept = [0] * rank(x)
    axis = g.below(0, rank(x))
    size = dim(x, axis)
    if size is not None and size > 1 and g.maybe(0.5):
        part = g.one(*[n for n in range(1, size + 1) if size % n == 0])
        rest = -1 if g.maybe(0.5) else size // part
        target = [*kept[:axis], part, rest, *[0] * (rank(x) - axis - 1)]
        if any(n == 0 for n in target[axis + 2 :]):
            raise Skip
        g.emit("Reshape", x, g.ints(*target))
    elif rank(x) >= 2 and axis == rank(x) - 1:
        g.emit("Reshape", x, g.ints(*kept[: axis - 1], -1))


def by_arithmetic(g: Grower) -> None:
    """A Reshape whose target is computed from the shape of the value."""
    x = g.pick(lambda v: rank(v) >= 2)
    shape = g.emit("Shape", x)
    first = g.emit("Gather", shape, g.const(np.array(0)))
    first = g.emit("Unsqueeze", first, g.ints(0))
    target = g.emit("Concat", first, g.ints(-1), axis=0)
    made = g.emit("Reshape", x, target)
    if g.maybe(0.5):
        g.emit("Reshape", made, shape)


def flatten(g: Grower) -> None:
    """A Flatten at any axis."""
    x = g.pick(lambda v: rank(v) >= 1)
    g.emit("Flatten", x, axis=g.below(0, rank(x) + 1))


def squeeze(g: Grower) -> None:
    """An Unsqueeze, or a Squeeze of dims that are 1."""
    x = g.pick()
    ones = [n for n in range(rank(x)) if dim(x, n) == 1]
    if ones and g.maybe(0.5):
        g.emit("Squeeze", x, g.ints(*g.some(ones)))
    else:
        g.emit("Unsqueeze", x, g.ints(g.below(-rank(x) - 1, rank(x) + 1)))


def cut(g: Grower) -> None:
    """A Slice of one or two axes with any step."""
    x = g.pick(lambda v: rank(v) >= 1)
    axes = g.some(range(rank(x)))[:2]
    starts, ends, steps = [], [], []
    for _ in axes:
        step = g.one(1, 1, 2, -1, 3, -2)
        low, high = g.one(0, 1, -4), g.one(2, 5, -1, 2**40)
        starts.append(low if step > 0 else g.one(-1, 3, 2**40))
        ends.append(high if step > 0 else g.one(0, -(2**40), -5))
        steps.append(step)
    g.emit("Slice", x, g.ints(*starts), g.ints(*ends), g.ints(*axes), g.ints(*steps))


def split(g: Grower) -> None:
    """A Split into equal or given parts."""
    x = g.pick(lambda v: rank(v) >= 1)
    axis = g.axis(x)
    size = known(x, axis)
    if size < 2:
        raise Skip
    if g.maybe(0.5):
        first = g.below(1, size)
        g.emit("Split", x, g.ints(first, size - first), outputs=2, axis=axis)
    else:
        count = g.one(2, 3) if size >= 3 else 2
        g.emit("Split", x, outputs=count, axis=axis, num_outputs=count)


def concat(g: Grower) -> None:
    """A Concat of values that agree on the other axes."""
    x = g.pick(lambda v: rank(v) >= 1)
    axis = g.axis(x) % rank(x)

    def fits(v: Value) -> bool:
        pairs = enumerate(zip(v.type.dims, x.type.dims, strict=False))
        return (
            v.dtype is x.dtype
            and rank(v) == rank(x)
            and all(a is b for n, (a, b) in pairs if n != axis)
        )

    parts = [x, *(g.pick(fits) for _ in range(g.below(1, 4)))]
    g.emit("Concat", *parts, axis=axis)


def pad(g: Grower) -> None:
    """A Pad of any mode."""
    x = g.pick(lambda v: is_float(v) and 1 <= rank(v) <= 4)
    mode = g.one("constant", "constant", "edge", "reflect", "wrap")
    amounts = [0] * (2 * rank(x))
    for axis in g.some(range(rank(x))):
        size = dim(x, axis)
        if size is None or size < 3:
            continue
        amounts[axis] = g.below(0, 3)
        amounts[axis + rank(x)] = g.below(-1, 3)
    g.emit("Pad", x, g.ints(*amounts), mode=mode)


def gather(g: Grower) -> None:
    """A Gather of constant indices, negative ones too."""
    x = g.pick(lambda v: rank(v) >= 1)
    axis = g.axis(x)
    size = known(x, axis)
    shape = g.one((), (3,), (2, 2))
    kind = g.one(np.int64, np.int32)
    places = g.rng.integers(-size, size, shape).astype(kind)
    g.emit("Gather", x, g.const(places), axis=axis)


def embed(g: Grower) -> None:
    """A Gather of rows of a table by computed indices."""
    x = g.number(1, 4)
    squashed = g.emit("Sigmoid", x)
    assert squashed.dtype is not None
    scaled = g.emit("Mul", squashed, g.const(np.array(6.9).astype(squashed.dtype.numpy)))
    ids = g.emit("Cast", scaled, to=DType.INT64.value)
    g.emit("Gather", g.normal((7, g.one(1, 4, 8, 17)), g.real), ids)


def pick_elements(g: Grower) -> None:
    """GatherElements by constant indices."""
    x = g.pick(lambda v: rank(v) >= 1 and all(dim(v, n) for n in range(rank(v))))
    axis = g.below(0, rank(x))
    shape = [known(x, n) for n in range(rank(x))]
    places = g.rng.integers(0, shape[axis], shape)
    g.emit("GatherElements", x, g.const(places), axis=axis)


def expand(g: Grower) -> None:
    """An Expand to a shape with one more dim, or of dims that are 1."""
    x = g.pick(lambda v: rank(v) <= 3)
    target = [g.one(1, 2, 3), *[1] * rank(x)]
    for n in range(rank(x)):
        if dim(x, n) == 1:
            target[n + 1] = g.one(1, 2, 5)
    g.emit("Expand", x, g.ints(*target))


def tile(g: Grower) -> None:
    """A Tile."""
    x = g.pick(lambda v: 1 <= rank(v) <= 3)
    g.emit("Tile", x, g.ints(*(g.one(1, 1, 2, 3) for _ in range(rank(x)))))


def triangle(g: Grower) -> None:
    """A Trilu with some diagonal."""
    x = g.pick(lambda v: rank(v) >= 2 and v.dtype is not DType.BOOL)
    g.emit("Trilu", x, g.const(np.array(g.below(-2, 3))), upper=g.below(0, 2))


def regroup(g: Grower) -> None:
    """DepthToSpace or SpaceToDepth."""
    x = g.number(4, 5)
    if g.maybe(0.5) and known(x, 1) % 4 == 0:
        g.emit("DepthToSpace", x, blocksize=2, mode=g.one("DCR", "CRD"))
    elif known(x, 2) % 2 == 0 and known(x, 3) % 2 == 0:
        g.emit("SpaceToDepth", x, blocksize=2)


def resize(g: Grower) -> None:
    """A Resize by factors."""
    x = g.pick(lambda v: v.dtype is DType.FLOAT32 and rank(v) == 4)
    factors = np.array([1, 1, g.one(1, 2, 0.5), g.one(2, 1.5, 3)], np.float32)
    mode = g.one("nearest", "linear", "cubic")
    way = g.one("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    settings: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": way}
    g.emit("Resize", x, None, g.const(factors), **settings)


def one_hot(g: Grower) -> None:
    """A OneHot of an arg-max."""
    x = g.number(1, 4)
    axis = g.axis(x)
    known(x, axis)
    places = g.emit(g.one("ArgMax", "ArgMin"), x, axis=axis, keepdims=g.below(0, 2))
    depth, values = (g.const(np.array(5)), g.const(np.array([0, 1], np.float32)))
    g.emit("OneHot", places, depth, values, axis=-1)


STEPS = (
    transpose,
    transpose,
    transpose,
    reshape,
    reshape,
    by_arithmetic,
    flatten,
    squeeze,
    squeeze,
    cut,
    cut,
    split,
    concat,
    concat,
    pad,
    gather,
    embed,
    pick_elements,
    expand,
    tile,
    triangle,
    regroup,
    resize,
    one_hot,
)
