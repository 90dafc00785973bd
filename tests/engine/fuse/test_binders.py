"""A size that only a run tells is told whoever asks for it, its value unread or not."""

import numpy as np
import pytest

import sardonyx as sx
from session.models import graph

X = np.array([[1, 0, 3], [0, 0, 2], [1, 0, 3]], np.float32)
# Statements that make `d`; what else is fed is an input of rank 1, or 0 where it is a number.
MADE: dict[str, tuple[str, dict[str, object]]] = {
    "NonZero": ("d = NonZero(x)", {}),
    "NonZero, transposed": ("p = NonZero(x)\n d = Transpose(p)", {}),
    "Unique": ("d = Unique(x)", {}),
    "indices of Unique": ("_, d = Unique(x)", {}),
    "counts of Unique": ("_, _, _, d = Unique<axis=0>(x)", {}),
    "Compress": ("d = Compress<axis=0>(x, which)", {"which": [True, False, True]}),
    "Range": ("const a: int64[] = {0}\n const b: int64[] = {1}\n d = Range(a, n, b)", {"n": 5}),
    "ConstantOfShape": ("d = ConstantOfShape(dims)", {"dims": [2, 4]}),
    "Reshape": ("d = Reshape(x, dims)", {"dims": [1, 9, 1]}),
    "Expand": ("d = Expand(x, dims)", {"dims": [2, 3, 3]}),
    "Slice": ("d = Slice(x, a, b)", {"a": [0], "b": [2]}),
    "Tile": ("d = Tile(x, many)", {"many": [2, 3]}),
    "Pad": ("d = Pad(x, many)", {"many": [1, 0, 0, 2]}),
    "TopK": ("d, _ = TopK(x, k)", {"k": [2]}),
    "indices of TopK": ("_, d = TopK(x, k)", {"k": [2]}),
    "CenterCropPad": ("d = CenterCropPad(x, many)", {"many": [2, 5]}),
    "HannWindow": ("d = HannWindow(n)", {"n": 6}),
    "Split": ("d, _ = Split<axis=0>(x, parts)", {"parts": [1, 2]}),
    "Squeeze": ("const z: int64[1] = {0}\n u = Unsqueeze(x, z)\n d = Squeeze(u, ax)", {"ax": [0]}),
    "ReduceSum": ("d = ReduceSum(x, ax)", {"ax": [0]}),
    "a sequence": ("q = SplitToSequence<axis=0>(x)\n d = ConcatFromSequence<axis=1>(q)", {}),
    "GatherND": ("p = NonZero(x)\n q = Transpose(p)\n d = GatherND(x, q)", {}),
    "EyeLike": ("p = NonZero(x)\n d = EyeLike(p)", {}),
    "If": (
        """d = If<then_branch=graph a { p = NonZero(x)
            output p },
            else_branch=graph b { e = Cast<to=7>(x)
            output e }>(yes)""",
        {"yes": True},
    ),
    "Scan": (
        """p = NonZero(x)
        d = Scan<num_scan_inputs=1, body=graph b { input s: int64[k]
            t = Identity(s)
            output t }>(p)""",
        {},
    ),
}
USES = (
    "y = Shape(d)",
    "y = Size(d)",
    "s = Shape(d)\n y = ConstantOfShape(s)",
    "s = Size(d)\n const o: int64[] = {0}\n const i: int64[] = {1}\n y = Range(o, s, i)",
    "s = Size(d)\n f = Cast<to=1>(s)\n const h: float32[] = {0.5}\n y = Mul(f, h)",
    """s = Size(d)
    f = Cast<to=1>(s)
    g = Sqrt(f)
    i = Cast<to=7>(g)
    const c: int64[1] = {1}
    l = Reshape(i, c)
    y = ConstantOfShape(l)""",
    "f = Cast<to=1>(d)\n g = Neg(f)\n y = Shape(g)",
    "const c: int64[1] = {-1}\n f = Reshape(d, c)\n y = Shape(f)",
    "s = Shape(d)\n r = Shape(x)\n y = Concat<axis=0>(s, r)",
    "f = Cast<to=1>(d)\n y = ReduceSum<keepdims=0>(f)",
    """const t: bool[] = {1}
    y = If<then_branch=graph a { p = Shape(d)
        output p },
        else_branch=graph b { q = Size(d)
        output q }>(t)""",
)


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("shape", ["m, n", "?"])
def test_a_size_is_told(made: str, shape: str, rng: np.random.Generator) -> None:
    statements, fed = MADE[made]
    feeds = {"x": X, **{k: np.asarray(v) for k, v in fed.items()}}
    kinds = {k: f"{a.dtype}[{', '.join([f'{k}_'] * a.ndim)}]" for k, a in feeds.items()}
    kinds["x"] = f"float32[{shape}]"
    inputs = "\n".join(f"input {k}: {kind}" for k, kind in kinds.items())
    for use in rng.permutation(len(USES))[:4]:
        model = graph(f'graph g {{\nopset "" 21\n{inputs}\n{statements}\n{USES[use]}\noutput y\n}}')
        names = ("CPUExecutionProvider", "ReferenceExecutionProvider")
        found, wanted = (sx.InferenceSession(model, providers=[p]).run(None, feeds) for p in names)
        np.testing.assert_array_equal(found[0], wanted[0], err_msg=f"{made}: {USES[use]}")
