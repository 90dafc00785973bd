import pytest

from sardonyx.core import knobs
from sardonyx.core.dtype import DType
from sardonyx.core.errors import UsageError
from sardonyx.loops import target


def test_a_level_never_uses_a_feature_above_it() -> None:
    found = target.make("amx").features
    assert "amx-tile" not in target.make("avx512", found).features
    assert target.make("generic", found).features == frozenset()
    lower = target.make("avx2", found)
    assert not any(f.startswith("avx512") for f in lower.features)
    assert "-avx512f" in lower.feature_string.split(",")


@pytest.mark.parametrize("level", ["avx2", "avx512", "amx"])
def test_vector_shape(level: str) -> None:
    made = target.make(level)
    bits = 256 if level == "avx2" else 512
    assert made.vector_bits == bits
    assert made.registers == bits // 16
    assert made.lanes(DType.FLOAT32) == bits // 32
    assert made.lanes(DType.BOOL) == bits // 8
    assert made.lanes(DType.INT4) == bits // 8


def test_knob_forces_a_lower_level() -> None:
    with knobs.override(cpu="generic"):
        assert target.host().level == "generic"
    assert target.host().features <= target.machine_features()


def test_a_level_that_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "machine_features", lambda: frozenset(["sse3"]))
    target._host.cache_clear()
    with pytest.raises(UsageError, match="E0903"), knobs.override(cpu="amx"):
        target.host()
    target._host.cache_clear()


def test_tuning_follows_features_not_the_name_of_the_cpu() -> None:
    tiles = target.make("amx").features - {"amx-fp16"}
    assert target.make("amx", tiles).cpu == "sapphirerapids"
    found = target.make("avx512").features
    assert target.make("avx512", found).cpu == "icelake-server"
    assert target.make("avx512", found | {"sse4a"}).cpu == "znver4"
    older = found - {"avx512vnni", "avx512bf16"}
    assert target.make("avx512", older).cpu == "skylake-avx512"


def test_machine_is_sane() -> None:
    made = target.host()
    assert 1 <= made.cores <= 4096
    assert 8 << 10 <= made.l1 <= made.l2 <= made.l3
