"""The matrices of Winograd's minimal filtering of 3x3 windows, and products with them.

out = At [ (G g Gt) * (Bt d B) ] A      g: 3x3 weights, d: patch, * element by element
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sardonyx.core.expr import Expr

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Filtering:
    """The matrices of F(out x out, 3 x 3): `at` on products, `bt` on patches, `g` on weights."""

    out: int
    at: Matrix
    bt: Matrix
    g: Matrix

    @property
    def patch(self) -> int:
        """Elements of a patch along one side."""
        return self.out + 2


F2 = Filtering(
    2,
    at=((1, 1, 1, 0), (0, 1, -1, -1)),
    bt=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    g=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
)
F4 = Filtering(
    4,
    at=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    bt=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    g=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
)


def _times(matrix: Matrix, rows: Sequence[Sequence[Expr]]) -> list[list[Expr]]:
    """matrix times rows, terms with factor 0 left out."""
    return [
        [
            _sum([(f, row[n]) for f, row in zip(factors, rows, strict=True) if f])
            for n in range(len(rows[0]))
        ]
        for factors in matrix
    ]


def _sum(terms: Sequence[tuple[float, Expr]]) -> Expr:
    """The sum of factor * term, a positive one first."""
    (factor, first), *rest = sorted(terms, key=lambda t: t[0] < 0)
    total = first if factor == 1 else first * float(factor)
    for factor, e in rest:
        term = e if abs(factor) == 1 else e * float(abs(factor))
        total = total - term if factor < 0 else total + term
    return total


def both_sides(matrix: Matrix, square: list[list[Expr]]) -> list[Expr]:
    """matrix * square * transposed matrix, row by row."""
    half = _times(matrix, square)
    turned = [list(column) for column in zip(*half, strict=True)]
    done = _times(matrix, turned)
    return [e for row in zip(*done, strict=True) for e in row]
