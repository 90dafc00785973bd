"""The written page: every row and figure of a report, with the circumstances."""

from pathlib import Path

import page
from sardonyx.bench import BenchReport, Figures, Ratio, Row

FIGURES = Figures("x", 1.5e-3, 1.4e-3, 0.5, 0.2, 3 << 20, 2 << 20, 2e-7, "highest", {"call": "run"})


def _report() -> BenchReport:
    ours = FIGURES
    theirs = Figures("ort", 3e-3, 3e-3, 0.1, 0.1, 5 << 20, 4 << 20, 1e-7, "highest")
    ratio = Ratio(2.0, 1.9, 2.1, 21, 2, 3)
    row = Row("mlp", 2, {"N": 1}, "float64 outputs", ours, (theirs,), {"ort": ratio})
    machine = {
        "processor": "Some CPU",
        "cores": 2,
        "memory_gib": 8.0,
        "system": "Linux",
        "python": "3.11",
        "features": ["avx2"],
        "load": 0.1,
    }
    return BenchReport((row,), machine, {"numpy": "2"}, {"pairs": 21}, "2025-01-01")


def test_page_tells_everything(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    page.write_page(_report(), path, {"lstm": "E0743: no"})
    text = path.read_text(encoding="utf-8")
    assert "| mlp (N=1) | 2 | 1.5 ms | 3 ms | 2.00 [1.90, 2.10] | 21 (2) |" in text
    assert "| mlp | 2 | x | 500 ms | 200 ms | 2 MiB | 2.0e-07 | highest |" in text
    assert "against ort: 2.00×" in text
    assert "- lstm could not be measured: E0743: no" in text
    for circumstance in ("Some CPU", "avx2", "numpy 2", "pairs 21", "2025-01-01", "`call=run`"):
        assert circumstance in text


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    page.write_page(_report(), tmp_path / "page.md", {})
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
