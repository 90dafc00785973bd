"""The sweep's command on tiny plans: rows, roofs, what is missing, and another checkout of ours."""

import json
from pathlib import Path
from typing import Any

import pytest

import operators
import sweep
from roofs import KIB, Roofs, measure_roofs
from sardonyx.bench import Plan, Ratio, statistics
from sardonyx.core.errors import EPFail

ROOT = Path(__file__).resolve().parents[2]
TINY = Plan(pairs=2, restarts=1, block=0.001, timeout=60.0, longest=1.0)
ROOFS = Roofs(1, 100.0, (KIB, 4 * KIB), (50.0, 20.0), (60.0, 25.0))


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "QUICK", TINY)
    monkeypatch.setattr(operators, "measure_roofs", lambda threads: ROOFS)
    # On a busy machine every pair may stray.
    monkeypatch.setattr(statistics, "keep_steady", list)


def _sweep(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    path = tmp_path / "sweep.json"
    status = operators.main([*arguments, "--quick", "--json", str(path)])
    return status, json.loads(path.read_text(encoding="utf-8"))


def test_rows_have_ratio_error_and_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = ["--against", f"ReferenceExecutionProvider,sardonyx@{ROOT}"]
    status, found = _sweep(tmp_path, "logsoftmax last", "--forms", "small,symbolic", *against)
    assert status == 0
    rows = found["rows"]
    assert [(row["model"], row["form"]) for row in rows] == [
        ("LogSoftmax last", "small"),
        ("LogSoftmax last", "symbolic"),
    ]
    for row in rows:
        assert set(row["ratios"]) == {"ReferenceExecutionProvider", f"sardonyx@{ROOT}"}
        assert row["subject"]["error"] < 1e-6
        assert row["subject"]["precision"] == "highest"
        assert row["roof"] == "copy"
        assert row["least_s"] > 0
    told = capsys.readouterr().out
    assert "against ReferenceExecutionProvider" in told
    assert "in the geometric mean of 2 rows" in told


def test_rows_for_which_time_is_over_are_named(tmp_path: Path) -> None:
    status, found = _sweep(tmp_path, "Mish", "--minutes", "0")
    assert status == 1
    assert found["missing"] == {"Mish, large, threads 1": "0 minutes are over"}


def test_a_row_that_fails_does_not_end_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EPFail("E0743", "no such thing")

    monkeypatch.setattr(operators, "measure", fail)
    status, found = _sweep(tmp_path, "Softmax first", "Softmax last")
    assert status == 1
    missing = found["missing"]
    assert len(missing) == 3
    assert set(missing.values()) == {"E0743: no such thing"}


@pytest.mark.parametrize(
    "arguments", [["no such operator"], ["--against", "sardonyx@/nowhere"], ["--forms", "huge"]]
)
def test_impossible_requests_end_at_once(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        operators.main(arguments)
    assert caught.value.code == 2


def test_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert operators.main(["--list", "roi"]) == 0
    assert capsys.readouterr().out == "RoiAlign\n"


@pytest.mark.parametrize(
    ("median", "shown"), [(0.004, "0.0040 [0.0020, 0.0080]"), (1.5, "1.50 [0.75, 3.00]")]
)
def test_small_ratios_keep_their_digits(median: float, shown: str) -> None:
    assert sweep._shown(Ratio(median, median / 2, median * 2, 6, 0, 1)) == shown


def test_an_empty_sweep_can_be_told() -> None:
    lines = list(sweep.Sweep([ROOFS], ["x"]).lines())
    assert lines == ["roofs, 1 thread: 100 GFLOP/s; GB/s read/copied in 1 KiB 50/60, 4 KiB 20/25"]


def test_the_tightest_roof_binds() -> None:
    assert ROOFS.bound(10**9, KIB, KIB, 2 * KIB) == (0.01, "fma")
    assert ROOFS.bound(0, 10**9, 0, KIB) == (1 / 50, "read")
    assert ROOFS.bound(0, 10**9, 10**9, 1 << 30) == (2 / 25, "copy")


def test_roofs_are_measured_for_threads_together() -> None:
    found = measure_roofs(2, seconds=0.0005, sizes=(64 * KIB, 256 * KIB))
    assert found.threads == 2
    assert min(found.fma, *found.read, *found.copy) > 0.1
    assert json.dumps(found.to_dict())
