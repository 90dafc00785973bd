"""The whole harness on numpy contenders of known speed, error and faults."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sardonyx.bench import NATIVE, BenchReport, Contender, Plan, race
from sardonyx.bench.contender import save_pool
from sardonyx.bench.process import Process
from sardonyx.core.errors import EPFail, InvalidArgument, NotFound

HERE = Path(__file__).parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
QUICK = Plan(pairs=6, restarts=2, block=0.004, timeout=30.0)
FEEDS = [{"x": np.arange(4.0)}, {"x": np.arange(4.0) + 1}]
WANTED = [{"y": feed["x"] * 2} for feed in FEEDS]


def _reach(patch: pytest.MonkeyPatch) -> None:
    """Let a worker process import the contestants beside this file."""
    patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, sys.path)]))


@pytest.fixture(autouse=True)
def _reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    _reach(monkeypatch)


def _one(name: str, label: str = "", **options: object) -> Contender:
    return Contender(label or name, f"contestants:{name}", options)


def _awaited(pid: int, states: str) -> str:
    """The state of a process once it is one of `states`, or what it is after two seconds."""
    state = ""
    for _ in range(200):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except FileNotFoundError:
            return ""
        state = stat.rsplit(")", 1)[1].split()[0]
        if state in states:
            break
        time.sleep(0.01)
    return state


def _pool(folder: Path) -> str:
    path = str(folder / "pool.npz")
    save_pool(path, FEEDS)
    return path


@pytest.fixture(scope="module")
def report() -> BenchReport:
    with pytest.MonkeyPatch.context() as patch:
        _reach(patch)
        return race(
            _one("sleeper", "quick", seconds=0.0004, wrong=3e-3),
            [_one("sleeper", "slow", seconds=0.0012), _one("chatty")],
            FEEDS,
            wanted=WANTED,
            plan=QUICK,
        )


def test_known_ratio_is_found(report: BenchReport) -> None:
    ratio = report.rows[0].ratios["slow"]
    assert ratio.low <= ratio.median <= ratio.high
    assert 0.9 * ratio.low < 3 < 1.1 * ratio.high
    # What else runs here may spoil pairs, even all of a restart: they are counted.
    assert 1 <= ratio.restarts <= 2
    assert ratio.pairs + ratio.dropped >= 6


def test_latency_is_that_of_one_run(report: BenchReport) -> None:
    subject = report.rows[0].subject
    assert 0.0004 <= subject.best < 0.002
    assert subject.best <= subject.latency


def test_errors_and_classes_stand_beside_the_times(report: BenchReport) -> None:
    quick = report.rows[0].subject
    slow = report.rows[0].others[0]
    assert quick.error == pytest.approx(3e-3, rel=0.01)
    assert quick.precision == "medium"
    assert slow.precision == "highest"


def test_worst_row_and_geomean(report: BenchReport) -> None:
    both = report + report
    assert both.worst("slow") is both.rows[0]
    assert both.geomean("slow") == pytest.approx(report.rows[0].ratios["slow"].median)


def test_report_is_json_and_prints_as_a_table(report: BenchReport) -> None:
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["schema"] == 1
    assert plain["rows"][0]["ratios"]["slow"]["pairs"] == report.rows[0].ratios["slow"].pairs
    assert plain["machine"]["cores"] >= 1
    text = io.StringIO()
    Console(file=text, width=160).print(report)
    assert "against slow" in text.getvalue()


def test_without_float64_outputs_the_first_other_is_the_reference() -> None:
    subject = _one("sleeper", "a", wrong=1e-6)
    other = _one("sleeper", "b")
    row = race(subject, [other], FEEDS, plan=QUICK).rows[0]
    assert row.reference == "b"
    assert row.subject.error == pytest.approx(1e-6, rel=0.01)


def test_cold_start_and_second_start_are_told_apart() -> None:
    found = race(_one("remembering"), [], FEEDS, plan=QUICK).rows[0].subject
    assert found.cold > 0.3
    assert found.second < 0.25


def test_own_memory_is_what_creating_took() -> None:
    found = race(_one("hungry", mebibytes=96), [], FEEDS, plan=QUICK).rows[0].subject
    assert found.own_bytes == pytest.approx(96 << 20, rel=0.1)
    assert found.peak_bytes > found.own_bytes


def test_thread_count_reaches_the_contender() -> None:
    found = race(_one("sleeper"), [], FEEDS, threads=(1, 2), plan=QUICK)
    assert [row.subject.settings["threads"] for row in found.rows] == [1, 2]


def test_a_failing_contender_is_named_with_its_message() -> None:
    with pytest.raises(EPFail, match=r"`raising` failed.*no 1 threads here"):
        race(_one("raising"), [], FEEDS, plan=QUICK)


def test_a_dying_contender_leaves_its_last_words() -> None:
    with pytest.raises(EPFail, match="died in `create` with status 9") as caught:
        race(_one("dying"), [], FEEDS, plan=QUICK)
    assert caught.value.given == "last words"


def test_a_hanging_contender_is_given_up() -> None:
    start = time.monotonic()
    with pytest.raises(EPFail, match="gave no answer"):
        race(_one("hanging"), [], FEEDS, plan=Plan(timeout=1.5))
    assert time.monotonic() - start < 15


def test_an_unknown_factory_is_not_found() -> None:
    with pytest.raises(EPFail, match="cannot be imported"):
        race(Contender("x", "no_such_module:make"), [], FEEDS, plan=QUICK)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="same label"):
        race(_one("sleeper", "a"), [_one("sleeper", "a")], FEEDS)
    with pytest.raises(InvalidArgument, match="input set"):
        race(_one("sleeper"), [], [])
    with pytest.raises(InvalidArgument, match="start at 1"):
        race(_one("sleeper"), [], FEEDS, threads=(0,))


def test_no_turns_begin_once_time_is_up() -> None:
    plan = Plan(pairs=60, restarts=1, block=0.02, longest=0.0)
    row = race(_one("sleeper", "a"), [_one("sleeper", "b")], FEEDS, plan=plan).rows[0]
    assert row.ratios["b"].pairs + row.ratios["b"].dropped == 2


def test_contenders_do_not_share_a_cache() -> None:
    both = [_one("remembering", "a"), _one("remembering", "b")]
    row = race(both[0], both[1:], FEEDS, plan=QUICK).rows[0]
    assert row.subject.cold > 0.3
    assert row.others[0].cold > 0.3


WORKER = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"settings": {"worker": __file__, "asked": json.loads(line)}}), flush=True)
"""


def test_another_checkout_runs_its_own_code(tmp_path: Path) -> None:
    folder = tmp_path / "src" / "sardonyx" / "bench"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "worker.py").write_text(WORKER, encoding="utf-8")
    contender = Contender.named(f"sardonyx@{tmp_path}", "net.onnx")
    with Process(contender) as process:
        settings = process.create(1, "pool.npz", {})["settings"]
    assert settings["worker"] == str(folder / "worker.py")
    assert settings["asked"]["options"] == {"model": "net.onnx", "provider": NATIVE}


def test_a_folder_that_is_no_checkout_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no checkout"):
        Contender.named(f"sardonyx@{tmp_path}", "net.onnx")


def test_not_found_is_its_own_exception() -> None:
    assert not issubclass(NotFound, EPFail)


@LINUX
def test_a_contender_out_of_turn_is_stopped(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    with Process(_one("sleeper")) as process:
        process.create(1, pool, {})
        assert _awaited(process._child.pid, "T") == "T"
        process.ask("block", runs=2)
        assert _awaited(process._child.pid, "T") == "T"


@LINUX
def test_no_worker_outlives_a_killed_conductor(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    code = (
        "import os, signal\n"
        "from sardonyx.bench import Contender\n"
        "from sardonyx.bench.process import Process\n"
        "p = Process(Contender('s', 'contestants:sleeper'))\n"
        f"p.create(1, {pool!r}, {{}})\n"
        "print(p._child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert _awaited(int(done.stdout), "ZX") in ("Z", "X", "")
