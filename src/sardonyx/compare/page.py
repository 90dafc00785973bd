"""A comparison as one HTML page: nothing is fetched, no script runs, every name is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sardonyx.compare.comparison import COLUMNS, Comparison, Divergence, Reason
from sardonyx.core.escape import html

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8886; text-align: left; }
tr.refused td { font-weight: 650; } .scroll { overflow-x: auto; } dt { font-weight: 650; }
"""


def to_html(found: Comparison) -> str:
    """The verdict, the figures of every output, the first value that differs, and the causes."""
    verdict = "agrees" if found.agree else "does not agree"
    title = f"{found.b} {verdict} with {found.a}"
    body = "\n".join(_parts(found, title))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
        "</body></html>\n"
    )


def _parts(found: Comparison, title: str) -> Iterator[str]:
    yield f"<h1>{html(title)}</h1>"
    yield f"<p>tolerance: {html(found.tolerance)}</p>"
    yield from (f"<p>note: {html(note)}</p>" for note in found.notes)
    for reason in found.reasons:
        yield f"<h2>cause: {html(reason.cause)}</h2>"
        yield _terms(_reason(reason))
    if found.divergence is not None:
        yield "<h2>the first value that differs</h2>"
        yield _terms(_divergence(found.divergence))
    yield "<h2>outputs</h2>"
    rows = [(*r.cells(), _decibels(r.difference.snr), _share(r.difference.top5), r.refusal)
            for r in found.rows]  # fmt: skip
    yield _table((*COLUMNS, "SNR", "top 5", "why not"), rows)


def _reason(reason: Reason) -> Iterator[tuple[str, object]]:
    yield "side", reason.side
    if reason.node:
        more = f", and {reason.nodes - 1} more" if reason.nodes > 1 else ""
        yield "node", f"{reason.node} ({reason.op}){more}"
    if reason.source:
        yield "line", reason.source
    yield "found", reason.text
    if reason.at:
        yield "of", f"{reason.at}, the first value that differs"
    yield "max rel", f"{reason.before:.2g} before, {reason.after:.2g} after"
    yield "help", reason.remedy


def _divergence(found: Divergence) -> Iterator[tuple[str, object]]:
    yield "value", found.value
    yield "node", f"{found.node} ({found.op})"
    if found.source:
        yield "line", found.source
    yield "same before", found.after
    yield "difference", f"max abs {found.difference.max_abs:.2g}"
    yield "first side", found.a
    yield "second side", found.b


def _decibels(snr: float | None) -> str:
    return "" if snr is None else f"{snr:.0f} dB"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _terms(pairs: Iterable[tuple[str, object]]) -> str:
    told = (f"<dt>{html(name)}</dt><dd>{html(x)}</dd>" for name, x in pairs)
    return f"<dl>{''.join(told)}</dl>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html(name)}</th>" for name in columns)
    lines = []
    for row in rows:
        kind = ' class="refused"' if row[-1] else ""
        lines.append(f"<tr{kind}>{''.join(f'<td>{html(x)}</td>' for x in row)}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
