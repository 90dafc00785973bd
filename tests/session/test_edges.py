"""What models ask at the edges of operators runs as by reference, or ends in an error of ours."""

from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from session.models import graph

F = np.float32
ROWS: list[tuple[str, dict[str, Any]]] = [
    # A fold over parts of which one is known before running.
    *(
        (f"const c: int64[1] = {{-1}}\n k = Concat<axis=0>({order})\n y = {fold}<keepdims=0>(k)",
         {"x": np.array([3, 1, 2])})
        for fold in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ArgMax")
        for order in ("x, c", "c, x")
    ),
    ("""const s: int64[4] = {1, 1, 3, 3}
     y = Resize<coordinate_transformation_mode="tf_crop_and_resize", mode="linear">(x, r, _, s)""",
     {"x": np.arange(16, dtype=F).reshape(1, 1, 4, 4),
      "r": np.array([0, 0, 0.2, 0.2, 1, 1, 0.8, 0.8], F)}),
    *(
        ("q = SplitToSequence<axis=0>(x, s)\n y = SequenceLength(q)",
         {"x": np.ones((3, 2), F), "s": np.array(s)})
        for s in (0, 1, 2, -1, [1, 2], [1, 1], [0, 3])
    ),
    ("y = Squeeze(x, s)", {"x": np.ones(3, F), "s": np.array([0])}),
    ("y = Squeeze(x, s)", {"x": np.ones(1, F), "s": np.array([0])}),
    ("y = ArgMax(x)", {"x": np.ones(0, F)}),
    ("y = ArgMin(x)", {"x": np.ones((0, 2), F)}),
    ("y = ReduceMax(x)", {"x": np.ones((0, 2), F)}),
    ("y = Mod(x, s)", {"x": np.array([3, -4]), "s": np.array(0)}),
    ("y = Tile(x, s)", {"x": np.ones(2, F), "s": np.array([-1])}),
    ("y = Reshape(x, s)", {"x": np.ones(4, F), "s": np.array([-1, -1])}),
    ("y, _ = TopK(x, s)", {"x": np.ones(4, F), "s": np.array([9])}),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_edges(row: int) -> None:
    statements, feeds = ROWS[row]
    kinds = {
        k: f"{a.dtype}[{', '.join(f'{k}{n}' for n in range(a.ndim))}]" for k, a in feeds.items()
    }
    inputs = "\n".join(f"input {k}: {kind}" for k, kind in kinds.items())
    model = graph(f'graph g {{ opset "" 21\n{inputs}\n{statements}\noutput y }}')

    def outcome(provider: str) -> Any:
        try:
            return sx.InferenceSession(model, providers=[provider]).run(None, feeds)[0]
        except sx.InternalError:
            raise
        except sx.SardonyxError:
            return None

    found, wanted = map(outcome, ("CPUExecutionProvider", "ReferenceExecutionProvider"))
    assert (found is None) == (wanted is None)
    if wanted is not None:
        np.testing.assert_allclose(found, wanted, 1e-5)
