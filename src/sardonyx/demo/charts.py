"""Charts as inline SVG text: bars, intervals around 1, small grey pictures.

Colours come from the page's style by class, so that charts follow its light and dark form. Every
string is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sardonyx.core.escape import html

WIDTH, LABELS, ROW = 720, 210, 30
_SPAN = WIDTH - LABELS - 150


@dataclass(frozen=True)
class Interval:
    """A value with the bounds it is known to lie in."""

    label: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Picture:
    """Rows of shares of ink, 0 to 1, with a caption; `marked` ones stand out."""

    caption: str
    rows: Sequence[Sequence[float]]
    marked: bool = False


def bars(rows: Sequence[tuple[str, float]], caption: str, show: Callable[[float], str]) -> str:
    """A horizontal bar for each (label, value >= 0), with the value as `show` writes it."""
    largest = max((value for _, value in rows), default=0.0) or 1.0
    drawn = []
    for n, (label, value) in enumerate(rows):
        y, width = ROW * n + 4, max(2.0, _SPAN * value / largest)
        drawn.append(_label(label, y + 16))
        drawn.append(
            f'<rect class="bar" x="{LABELS}" y="{y}" width="{width:.1f}" height="22" rx="3"/>'
        )
        after = LABELS + width + 8
        drawn.append(f'<text x="{after:.1f}" y="{y + 16}">{html(show(value))}</text>')
    height = ROW * len(rows) + 4
    rule = f'<line class="rule" x1="{LABELS}" x2="{LABELS}" y1="0" y2="{height}"/>'
    return _svg(rule + "".join(drawn), height, caption)


def intervals(rows: Sequence[Interval], caption: str, show: Callable[[float], str]) -> str:
    """A dot and its interval for each row (all above 0), on a logarithmic axis with 1 on it."""
    low, high = _bounds(rows)

    def place(value: float) -> float:
        share = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return LABELS + _SPAN * share

    height = ROW * len(rows) + 26
    drawn = [_tick(place(t), height, f"{t:g}×", t == 1.0) for t in _ticks(low, high)]
    for n, row in enumerate(rows):
        y = ROW * n + 16
        left, middle, right = (place(x) for x in (row.low, row.middle, row.high))
        drawn.append(_label(row.label, y + 5))
        drawn.append(
            f'<line class="span" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle class="bar" cx="{middle:.1f}" cy="{y}" r="5"/>'
            f'<text x="{right + 12:.1f}" y="{y + 5}">{html(show(row.middle))}</text>'
        )
    return _svg("".join(drawn), height, caption)


def pictures(found: Sequence[Picture], caption: str, across: int = 10, size: int = 56) -> str:
    """Small pictures in rows, each above its caption."""
    step = WIDTH / across
    drawn = []
    for n, picture in enumerate(found):
        x, y = step * (n % across), (size + 26) * (n // across)
        drawn.append(_ink(picture, x, y, size))
        kind = "marked" if picture.marked else "soft"
        drawn.append(
            f'<text class="{kind}" x="{x + size / 2:.1f}" y="{y + size + 16}" '
            f'text-anchor="middle">{html(picture.caption)}</text>'
        )
    height = (size + 26) * -(-len(found) // across)
    return _svg("".join(drawn), height, caption)


def _ink(picture: Picture, x: float, y: float, size: int) -> str:
    pixel = size / max(len(picture.rows), 1)
    dots = [
        f'<rect x="{x + pixel * j:.1f}" y="{y + pixel * i:.1f}" width="{pixel + 0.2:.1f}" '
        f'height="{pixel + 0.2:.1f}" fill-opacity="{share:.2f}"/>'
        for i, row in enumerate(picture.rows)
        for j, share in enumerate(row)
        if share > 0
    ]
    frame = f'<rect class="frame" x="{x:.1f}" y="{y:.1f}" width="{size}" height="{size}"/>'
    return f'{frame}<g class="ink">{"".join(dots)}</g>'


def _label(text: str, y: float) -> str:
    return f'<text x="{LABELS - 12}" y="{y}" text-anchor="end">{html(text)}</text>'


def _tick(x: float, height: int, text: str, strong: bool) -> str:
    kind = "one" if strong else "rule"
    return (
        f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
        f'<text class="soft" x="{x + 4:.1f}" y="{height - 5}">{text}</text>'
    )


def _bounds(rows: Sequence[Interval]) -> tuple[float, float]:
    low = min([1.0, *(r.low for r in rows)]) / 1.15
    high = max([1.0, *(r.high for r in rows)]) * 1.15
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """Whole powers of the step that gives at most six marks."""
    for base in (2, 4, 10, 100, 1000):
        first = math.ceil(math.log(low, base) - 1e-9)
        last = math.floor(math.log(high, base) + 1e-9)
        found = [float(base) ** n for n in range(first, last + 1)]
        if len(found) <= 6:
            return found
    return [1.0]


def _svg(body: str, height: float, caption: str) -> str:
    told = html(caption)
    return (
        f'<svg role="img" aria-label="{told}" viewBox="0 0 {WIDTH} {height:.0f}">'
        f"<title>{told}</title>{body}</svg>"
    )
