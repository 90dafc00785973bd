"""Knobs: types, environment, scopes; limits: defaults, changes, refusals."""

import re
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from sardonyx.core import knobs, limits
from sardonyx.core.dtype import DType
from sardonyx.core.errors import LimitExceeded, UsageError
from sardonyx.core.limits import Limits, machine_memory

SOURCE = Path(knobs.__file__).parents[1]


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))
    }
    assert readers <= {"core/knobs.py", "bench/worker.py"}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No knob set in the environment."""
    for knob in knobs.all_knobs():
        monkeypatch.delenv(knob.variable, raising=False)
    return monkeypatch


def test_defaults(clean: pytest.MonkeyPatch) -> None:
    assert knobs.CPU.get() == "auto"
    assert knobs.PRECISION.get() == "highest"
    assert knobs.THREADS.get() >= 1
    assert all(knob.origin == "default" for knob in knobs.all_knobs())
    clean.setenv("XDG_CACHE_HOME", "/somewhere")
    assert knobs.CACHE_DIR.get() == Path("/somewhere/sardonyx")


def test_the_environment_is_typed(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SARDONYX_THREADS", "3")
    clean.setenv("SARDONYX_CPU", "AVX2")
    clean.setenv("SARDONYX_CACHE", "no")
    clean.setenv("SARDONYX_LIMITS", "nodes=2e6, rank=8")
    assert knobs.THREADS.get() == 3
    assert knobs.CPU.get() == "avx2"
    assert knobs.CACHE.get() is False
    assert knobs.LIMITS.get() == {"nodes": 2e6, "rank": 8}
    assert knobs.CPU.origin == "environment"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SARDONYX_THREADS", "0"),
        ("SARDONYX_THREADS", "many"),
        ("SARDONYX_THREADS", "-1"),
        ("SARDONYX_CPU", "avx1024"),
        ("SARDONYX_CACHE", "maybe"),
        ("SARDONYX_LIMITS", "nodes"),
        ("SARDONYX_LIMITS", "nodes=lots"),
    ],
)
def test_an_unreadable_value_is_told(clean: pytest.MonkeyPatch, variable: str, value: str) -> None:
    clean.setenv(variable, value)
    knob = next(k for k in knobs.all_knobs() if k.variable == variable)
    with pytest.raises(UsageError, match=variable) as caught:
        knob.get()
    assert caught.value.code == "E0901"


def test_an_override_lasts_as_long_as_its_block(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SARDONYX_THREADS", "3")
    with knobs.override(threads=5, cpu="generic"):
        with knobs.override(threads="7"):
            assert knobs.THREADS.get() == 7
        assert (knobs.THREADS.get(), knobs.CPU.get()) == (5, "generic")
        assert knobs.CPU.origin == "override"
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(knobs.THREADS.get()))
        thread.start()
        thread.join()
        assert seen == [3]
    assert knobs.THREADS.get() == 3
    with pytest.raises(UsageError), knobs.override(colour="red"):
        pass


def test_only_knobs_that_change_code_are_in_the_cache_key(clean: pytest.MonkeyPatch) -> None:
    plain = knobs.codegen_values()
    with knobs.override(threads=9):
        assert knobs.codegen_values() == plain
    with knobs.override(precision="medium"):
        assert knobs.codegen_values() != plain
    assert {"cpu", "precision"} <= set(plain)


def test_limits_take_changes_from_the_environment(clean: pytest.MonkeyPatch) -> None:
    assert Limits.current() == Limits()
    clean.setenv("SARDONYX_LIMITS", "nodes=12,compile_seconds=0.5")
    limits = Limits.current()
    assert (limits.nodes, limits.compile_seconds) == (12, 0.5)
    assert isinstance(limits.nodes, int)
    clean.setenv("SARDONYX_LIMITS", "colour=3")
    with pytest.raises(UsageError):
        Limits.current()


def test_each_limit_lets_its_own_value_pass_and_refuses_one_more() -> None:
    limits = Limits(
        file_bytes=10, external_bytes=10, depth=10, fields=10, nodes=10, initializers=10,
        inlined=10, rank=10, fold_bytes=10, fold_total=10, memory_bytes=10, compile_seconds=10,
        run_seconds=10, trips=10, code_bytes=10,
    )  # fmt: skip
    checks: dict[str, Callable[[int], object]] = {
        "file_bytes": limits.check_file,
        "external_bytes": limits.check_external,
        "depth": limits.check_depth,
        "fields": limits.check_fields,
        "nodes": limits.check_nodes,
        "initializers": limits.check_initializers,
        "inlined": limits.check_inlined,
        "rank": limits.check_rank,
        "fold_bytes": lambda n: limits.check_fold(n, 0, 0, "node"),
        "fold_total": lambda n: limits.check_fold(0, n, 5, "node"),
        "memory_bytes": limits.check_memory,
        "compile_seconds": limits.check_compile_seconds,
        "code_bytes": limits.check_code,
        "run_seconds": limits.check_run_seconds,
        "trips": limits.check_trips,
    }
    for name, check in checks.items():
        check(10)
        with pytest.raises(LimitExceeded) as caught:
            check(11)
        assert name in caught.value.message
        assert f"SARDONYX_LIMITS={name}=" in str(caught.value.hint)
        assert caught.value.exit_code == 4


def test_every_limit_is_asked_somewhere() -> None:
    source = "".join(
        path.read_text("utf-8") for path in Path(limits.__file__).parents[1].rglob("*.py")
    )
    for limit in fields(Limits):
        assert re.search(rf'\.{limit.name}\b|"{limit.name}"', source), limit.name


def test_a_large_model_may_fold_twice_its_size() -> None:
    limits = Limits(fold_total=10)
    limits.check_fold(1, 200, 100, None)
    with pytest.raises(LimitExceeded):
        limits.check_fold(1, 201, 100, None)


def test_tensor_sizes_are_counted_without_overflow() -> None:
    limits = Limits()
    assert limits.check_tensor(DType.INT4, [3, 3]) == 9
    assert limits.check_tensor(DType.FLOAT32, [0, 1 << 62]) == 0
    for dims in ([1 << 62, 4], [1 << 32] * 2, [(1 << 63) - 1]):
        with pytest.raises(LimitExceeded) as caught:
            limits.check_tensor(DType.FLOAT32, dims, "w")
        assert (caught.value.code, caught.value.tensor) == ("E0504", "w")


def test_an_array_of_nothing_must_be_one_that_numpy_has() -> None:
    limits = Limits()
    assert limits.check_array(DType.FLOAT32, [0, 1 << 50]) == 0
    np.empty([0, 1 << 50], np.float32)
    with pytest.raises(LimitExceeded, match="E0504"):
        limits.check_array(DType.FLOAT32, [0, 1 << 33, 1 << 33])


def test_memory_is_a_share_of_the_machine() -> None:
    assert machine_memory() > 1 << 26
    assert Limits().memory_allowed() == int(machine_memory() * 0.8)
    assert Limits(memory_bytes=5).memory_allowed() == 5


def test_overridden_knobs_travel_as_environment_variables() -> None:
    with knobs.override(cpu="generic", limits={"nodes": 3.0, "rank": 2.5}, cache=False):
        told = knobs.overridden()
    assert told["SARDONYX_CPU"] == "generic"
    for name, knob in (("SARDONYX_LIMITS", knobs.LIMITS), ("SARDONYX_CACHE", knobs.CACHE)):
        with knobs.override(**{knob.name: told[name]}):
            assert knob.get() == {"SARDONYX_LIMITS": {"nodes": 3.0, "rank": 2.5}}.get(name, False)
    assert knobs.overridden() == {}
