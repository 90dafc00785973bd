"""When outputs count as the same: one class for the whole comparison, chosen by what is compared.

float32, float64, float16, bfloat16   largest difference over the largest value; others exact
quantized                             angle between the outputs, and agreement of the arg-max
exact                                 every element equal
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sardonyx.compare.metrics import Difference
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph

ENOUGH_ROWS = 20


@dataclass(frozen=True)
class Tolerance:
    """A class by name. `max_rel` bounds `Difference.max_rel`; `cosine` and `agreement` are lower
    bounds for angle and equal arg-max (judged from 20 rows on); `why` says how it was chosen.
    """

    name: str
    max_rel: float | None = None
    cosine: float | None = None
    agreement: float | None = None
    why: str = "asked for"

    def refusal(self, d: Difference) -> str:
        """Why these figures are not the same; empty when they are."""
        if d.reason:
            return d.reason
        if self.cosine is not None and self.agreement is not None:
            return self._far(d, self.cosine, self.agreement)
        exact = self.max_rel is None or (not d.is_float and self.name in CLASSES)
        if exact:
            return f"{d.differing} of {d.elements} elements differ" if d.differing else ""
        assert self.max_rel is not None
        if d.max_rel <= self.max_rel:
            return ""
        return f"differs by {d.max_rel:.2g} of the largest value, allowed are {self.max_rel:g}"

    def _far(self, d: Difference, cosine: float, agreement: float) -> str:
        if not d.is_float:
            share = d.equal_share
            return f"{share:.1%} of the elements are equal" if share < agreement else ""
        if d.cosine < cosine:
            return f"the cosine is {d.cosine:.5f}, wanted are {cosine:g}"
        if d.argmax is not None and d.rows >= ENOUGH_ROWS and d.argmax < agreement:
            return f"the arg-max agrees in {d.argmax:.1%}, wanted are {agreement:.0%}"
        return ""

    def __str__(self) -> str:
        if self.cosine is not None and self.agreement is not None:
            bounds = f"cosine ≥ {self.cosine:g}, equal arg-max ≥ {self.agreement:.0%}"
        elif self.max_rel is None:
            bounds = "every element equal"
        else:
            bounds = f"differences ≤ {self.max_rel:g} of the largest value"
        return f"{self.name} ({bounds}), {self.why}"


CLASSES = {
    "exact": Tolerance("exact"),
    "float64": Tolerance("float64", 1e-10),
    "float32": Tolerance("float32", 1e-4),
    "float16": Tolerance("float16", 1e-2),
    "bfloat16": Tolerance("bfloat16", 5e-2),
    "quantized": Tolerance("quantized", cosine=0.99, agreement=0.95),
}
_NARROW = {DType.FLOAT16: "float16", DType.BFLOAT16: "bfloat16"}


def tolerance(asked: str | float | Tolerance) -> Tolerance:
    """The class of that name, or a bound of your own for `max_rel`; InvalidArgument (E0760)."""
    if isinstance(asked, Tolerance):
        return asked
    if asked in CLASSES:
        return CLASSES[str(asked)]
    try:
        bound = float(asked)
    except ValueError:
        bound = -1.0
    if not 0.0 <= bound < float("inf"):
        known = ", ".join(CLASSES)
        raise InvalidArgument("E0760", f"no tolerance is called `{asked}`", wanted=known)
    return Tolerance(f"{bound:g}", bound)


def fitting(graphs: Sequence[tuple[str, Graph]], found: Iterable[Difference]) -> Tolerance:
    """The class that suits the models compared: (name, graph) pairs, and their outputs' figures."""
    for name, graph in graphs:
        held = next((n.op.op_type for g in bodies(graph) for n in g.nodes if _rounds(n.op)), None)
        if held is not None:
            return _because("quantized", f"{name} holds {held}")
    for name, graph in graphs:
        narrow = next((_NARROW[d] for d in _types(graph) if d in _NARROW), None)
        if narrow is not None:
            return _because(narrow, f"{name} computes in {narrow}")
    floats = [d.dtype for d in found if d.is_float]
    for name in ("bfloat16", "float16"):
        if any(name in kind for kind in floats):
            return _because(name, f"an output is {name}")
    if floats and all(kind in ("float64", "complex128") for kind in floats):
        return _because("float64", "every output is float64")
    return _because("float32", "nothing is narrower")


def _because(name: str, why: str) -> Tolerance:
    known = CLASSES[name]
    return Tolerance(name, known.max_rel, known.cosine, known.agreement, f"since {why}")


def _rounds(op: object) -> bool:
    name = getattr(op, "op_type", "")
    return "QuantizeLinear" in name or name.startswith("QLinear") or name.endswith("Integer")


def _types(graph: Graph) -> Iterable[DType]:
    for g in bodies(graph):
        for v in g.values():
            if v.dtype is not None:
                yield v.dtype
