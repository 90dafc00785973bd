"""The result of a comparison: figures, verdict, and where the sides part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from sardonyx.compare.metrics import Difference, Statistics
from sardonyx.compare.tolerance import Tolerance
from sardonyx.core.escape import sanitise

COLUMNS = ("at", "runs", "output", "type", "max abs", "max rel", "ulp", "cosine", "arg-max",
           "differing", "same")  # fmt: skip
SPARED = ("runs", "type", "max rel", "differing")
WIDE = 110


@dataclass(frozen=True)
class Judgement:
    """The figures of one output in one group of runs; `refusal` is empty where it is the same."""

    at: str
    runs: int
    difference: Difference
    refusal: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "at": self.at,
            "runs": self.runs,
            **self.difference.to_dict(),
            "same": not self.refusal,
            "refusal": self.refusal,
        }

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        d = self.difference
        share = f"{d.argmax:.1%} of {d.rows}" if d.argmax is not None else ""
        return (
            self.at,
            str(self.runs),
            d.name,
            d.dtype,
            f"{d.max_abs:.2g}",
            f"{d.max_rel:.2g}",
            "" if d.max_ulp is None else str(d.max_ulp),
            f"{d.cosine:.6f}" if d.is_float else "",
            share,
            f"{d.differing} of {d.elements}",
            "no" if self.refusal else "yes",
        )


@dataclass(frozen=True)
class Divergence:
    """The first value, in execution order, that both models have and that is not the same.

    `after` counts the shared values before it, which are the same; `source` is the user's own
    source line where the model carries it; `constants` are those that the node reads and that the
    models hold under one name with different elements. `a` and `b` are the statistics of the value
    on the two sides; `matched` says by what the values were taken for the same: name, line, order.
    """

    value: str
    node: str
    op: str
    source: str
    after: int
    difference: Difference
    constants: tuple[str, ...] = ()
    a: Statistics | None = None
    b: Statistics | None = None
    matched: str = "name"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "value": self.value,
            "node": self.node,
            "op": self.op,
            "source": self.source,
            "same_before": self.after,
            "constants": list(self.constants),
            "a": None if self.a is None else asdict(self.a),
            "b": None if self.b is None else asdict(self.b),
            "matched_by": self.matched,
            "difference": self.difference.to_dict(),
        }

    def __str__(self) -> str:
        text = f"the first value that differs is `{sanitise(self.value)}`"
        text += f", made by node `{sanitise(self.node)}` ({sanitise(self.op)}): "
        text += f"max abs {self.difference.max_abs:.2g}, max rel {self.difference.max_rel:.2g}"
        text += f"; {self.after} shared values before it are the same"
        if self.a is not None and self.b is not None:
            text += f"\n  first side: {self.a}\n  second side: {self.b}"
        if self.constants:
            names = ", ".join(f"`{sanitise(name)}`" for name in self.constants)
            text += f"\n  its constants differ: {names}"
        return text + (f"\n  at {sanitise(self.source)}" if self.source else "")


@dataclass(frozen=True)
class Reason:
    """A cause of a difference that was tested for and found, on the side of that label.

    `before` and `after` are the largest differences over the largest value: as the sides are, and
    with the cause undone. `node` is the first of the `nodes` to blame, `source` the user's own
    line of it; both are empty where the cause lies in no node. Where a cause explains no
    output, but the first value that differs, `at` names that value, whose differences are told.
    """

    cause: str
    side: str
    text: str
    remedy: str
    before: float
    after: float
    node: str = ""
    op: str = ""
    nodes: int = 0
    source: str = ""
    at: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)

    def __str__(self) -> str:
        text = f"cause: {self.cause}, in {sanitise(self.side)}"
        if self.node:
            more = f" and {self.nodes - 1} more" if self.nodes > 1 else ""
            text += f", node `{sanitise(self.node)}` ({sanitise(self.op)}){more}"
        text += f": {sanitise(self.text)}"
        text += f"\n  of `{sanitise(self.at)}`, the first value that differs" if self.at else ""
        text += f"\n  max rel {self.before:.2g} before, {self.after:.2g} after"
        text += f"\n  at {sanitise(self.source)}" if self.source else ""
        return f"{text}\n  help: {self.remedy}"


@dataclass(frozen=True)
class Comparison:
    """Two sides, the tolerance they were judged by, and what was found.

    `rows` stand in the order of the runs; `notes` tell what was left out and why.
    """

    a: str
    b: str
    tolerance: Tolerance
    rows: tuple[Judgement, ...]
    notes: tuple[str, ...] = ()
    divergence: Divergence | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether every output is the same within the tolerance in every run."""
        return bool(self.rows) and not any(row.refusal for row in self.rows)

    def worst(self, output: str | None = None) -> Difference | None:
        """The figures with the largest `max_rel`, of one output or of all."""
        rows = [r.difference for r in self.rows if output in (None, r.difference.name)]
        return max(rows, key=lambda d: d.max_rel, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "a": self.a,
            "b": self.b,
            "agree": self.agree,
            "tolerance": asdict(self.tolerance),
            "rows": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
            "divergence": None if self.divergence is None else self.divergence.to_dict(),
            "reasons": [reason.to_dict() for reason in self.reasons],
        }

    def lines(self) -> Iterator[str]:
        """Everything but the table, in words."""
        yield from (f"note: {sanitise(note)}" for note in self.notes)
        yield f"tolerance: {self.tolerance}"
        if self.agree:
            yield f"{sanitise(self.b)} agrees with {sanitise(self.a)}"
            return
        yield f"{sanitise(self.b)} does not agree with {sanitise(self.a)}"
        refused = [r for r in self.rows if r.refusal]
        for row in refused[:5]:
            yield f"  {row.at}, output `{sanitise(row.difference.name)}`: {row.refusal}"
        if len(refused) > 5:
            yield f"  and {len(refused) - 5} more"
        if self.divergence is not None:
            yield str(self.divergence)
        yield from (str(reason) for reason in self.reasons)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table of `sardonyx compare`; narrow terminals get fewer columns."""
        del console
        wide = options.max_width >= WIDE
        names = [n for n in COLUMNS if wide or n not in SPARED]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in names:
            left = name in ("at", "output", "type")
            table.add_column(name, justify="left" if left else "right", overflow="fold")
        for row in self.rows:
            told = dict(zip(COLUMNS, row.cells(), strict=True))
            table.add_row(*(Text(sanitise(told[name])) for name in names))
        yield table
        for line in self.lines():
            yield Text(line)
