"""Recurrent layers, one step after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from singles.case import Case, Dim, Made, Maker, normal

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _layer(kind: str, both: bool = False, **settings: Any) -> Callable[..., Made]:
    """A layer over a whole sequence, states of every step out."""

    def make(g: Maker, steps: Dim, batch: int, size: int, hidden: int) -> Made:
        ways, rows = 1 + both, GATES[kind] * hidden

        def thin(rng: Any, shape: tuple[int, ...]) -> Any:
            return normal(rng, shape) * shape[-1] ** -0.5

        x = g.input((steps, batch, size))
        weights = g.weights(ways, rows, size, data=thin), g.weights(ways, rows, hidden, data=thin)
        bias = g.weights(ways, 2 * rows)
        direction = "bidirectional" if both else "forward"
        given = {"hidden_size": hidden, "direction": direction, **settings}
        made: Made = g.all(kind, x, *weights, bias, outputs=2, **given)
        return made

    return make


ONE = "50x1x256x512 5x1x16x8 37x1x131x67"
MANY = "80x32x128x128 5x4x16x8 37x13x131x67"

CASES = (
    Case("LSTM batch 1", _layer("LSTM"), ONE),
    Case("LSTM batch 32 both ways", _layer("LSTM", both=True), MANY),
    Case("GRU batch 1", _layer("GRU"), ONE),
    Case("GRU batch 32 reset after", _layer("GRU", linear_before_reset=1), MANY),
    Case("RNN batch 1", _layer("RNN"), ONE),
)
