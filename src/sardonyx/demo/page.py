"""A self-contained HTML page: text, tables and charts as inline SVG; nothing is fetched.

Every string is escaped, there is no script, and the page's policy forbids any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sardonyx.core.escape import html
from sardonyx.demo import charts
from sardonyx.demo.charts import Interval, Picture

_NUMBER = re.compile(r"[-+−]?[\d.]")
_NAME = re.compile(r"`([^`<>]+)`")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --line: #d8dce2;
  --bar: #b4532a; --soft: #626b77; --shade: #f5f6f8; --alarm: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #16181c; --line: #353a42;
  --bar: #e58a5b; --soft: #99a2ae; --shade: #1f2329; --alarm: #ff8a7a; } }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--paper); max-width: 60rem; margin: 2.5rem auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: 1.25rem;
  border-top: 1px solid var(--line); }
p { margin: .6rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .9rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .87rem; }
th.word, td.word { text-align: left; }
td:first-child { padding-right: 1.6rem; }
tr.strong td { font-weight: 650; }
figure { margin: 1.2rem 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
svg { display: block; width: 100%; max-width: 45rem; height: auto; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .bar { fill: var(--bar); } svg .span { stroke: var(--bar); stroke-width: 3; }
svg .rule { stroke: var(--line); } svg .one { stroke: var(--soft); stroke-dasharray: 4 3; }
svg text.soft { fill: var(--soft); font-size: 12px; }
svg text.marked { fill: var(--alarm); font-size: 12px; font-weight: 650; }
svg .ink rect { fill: var(--ink); } svg .frame { fill: var(--shade); stroke: var(--line); }
pre { background: var(--shade); border: 1px solid var(--line); border-radius: 6px;
  padding: .75rem 1rem; overflow-x: auto; font: 13px/1.6 ui-monospace, monospace; }
code { font: .9em ui-monospace, monospace; background: var(--shade); border-radius: 4px;
  padding: .1em .3em; }
.note { color: var(--soft); font-size: .92rem; }
@media print { body { margin: 0; } h2 { break-after: avoid; } table, svg { break-inside: avoid; } }
"""


def cell(x: object) -> str:
    """A value as a table shows it."""
    if isinstance(x, float):
        return f"{x:.3g}"
    return "" if x is None else str(x)


@dataclass
class Page:
    """A page under construction; parts appear in the order they are added."""

    title: str
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A section's heading."""
        self.parts.append(f"<h2>{html(text)}</h2>")

    def text(self, text: str, note: bool = False) -> None:
        """A paragraph, `names` in it as code; a note is printed softly."""
        kind = ' class="note"' if note else ""
        told = _NAME.sub(r"<code>\1</code>", html(text))
        self.parts.append(f"<p{kind}>{told}</p>")

    def code(self, lines: Iterable[str]) -> None:
        """Lines to be copied."""
        self.parts.append(f"<pre>{html(chr(10).join(lines))}</pre>")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], strong: int = -1
    ) -> None:
        """A table; floats are shown with three digits, row number `strong` in bold."""
        cells = [[cell(x) for x in row] for row in rows]
        words = [_is_word([row[n] for row in cells]) for n in range(len(columns))]
        head = _cells("th", columns, words)
        body = "".join(_row(row, words, n == strong) for n, row in enumerate(cells))
        self.parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def bars(
        self, rows: Sequence[tuple[str, float]], caption: str, show: Callable[[float], str] = cell
    ) -> None:
        """A horizontal bar for each (label, value >= 0)."""
        self.parts.append(_figure(caption, charts.bars(rows, caption, show)))

    def intervals(
        self,
        rows: Sequence[Interval],
        caption: str,
        show: Callable[[float], str] = lambda x: f"{x:.2f}×",
    ) -> None:
        """A dot with its interval for each row, around a line at 1."""
        self.parts.append(_figure(caption, charts.intervals(rows, caption, show)))

    def pictures(self, found: Sequence[Picture], caption: str) -> None:
        """Small grey pictures with captions."""
        self.parts.append(_figure(caption, charts.pictures(found, caption)))

    def html(self) -> str:
        """The whole document."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{html(self.title)}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{html(self.title)}</h1>{''.join(self.parts)}</body></html>\n"
        )


def _row(cells: Sequence[str], words: Sequence[bool], strong: bool) -> str:
    kind = ' class="strong"' if strong else ""
    return f"<tr{kind}>{_cells('td', cells, words)}</tr>"


def _cells(tag: str, cells: Sequence[str], words: Sequence[bool]) -> str:
    kinds = [' class="word"' if word else "" for word in words]
    told = zip(kinds, cells, strict=True)
    return "".join(f"<{tag}{kind}>{html(text)}</{tag}>" for kind, text in told)


def _is_word(column: Sequence[str]) -> bool:
    """Whether a column is text rather than numbers."""
    filled = [text for text in column if text]
    return not filled or any(not _NUMBER.match(text) for text in filled)


def _figure(caption: str, drawn: str) -> str:
    return f"<figure><figcaption>{html(caption)}</figcaption>{drawn}</figure>"
