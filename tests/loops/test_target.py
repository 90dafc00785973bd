import pytest

from sardonyx.core import knobs
from sardonyx.core.dtype import DType
from sardonyx.core.errors import UsageError
from sardonyx.loops import target


def test_a_level_never_uses_a_feature_above_it() -> None:
    found = target.make("amx").features
    generic = target.make("generic", found)
    assert generic.features == frozenset()
    wide = target.make("avx512", found)
    assert "amx-tile" not in wide.features
    lower = target.make("avx2", found)
    assert not any("512" in f for f in lower.features)
    assert "-avx512f," in lower.feature_string


@pytest.mark.parametrize("level", ["avx2", "avx512", "amx"])
def test_vector_shape(level: str) -> None:
    made = target.make(level)
    bits = 512
    if level == "avx2":
        bits = 256
    assert made.vector_bits == bits
    assert made.registers == bits // 16
    assert made.lanes(DType.FLOAT32) == bits // 32
    assert made.lanes(DType.BOOL) == bits // 8
    assert made.lanes(DType.INT4) == bits // 8


def test_another_kind_of_machine_is_named_to_llvm() -> None:
    made = target.make("wasm")
    assert made.triple == "wasm32-unknown-unknown"
    assert made.feature_string == "+simd128"
    assert target.make("wasm", []).feature_string == "-simd128"
    assert made.key not in {target.make("generic").key, target.make("neon").key}
    kinds = {target.make(level).triple for level in ("avx2", "neon", "wasm")}
    assert len(kinds) == 3


def test_what_instructions_do_is_asked_of_the_target() -> None:
    can = {
        level: {what for what in ("fma", "round", "half") if target.make(level).can(what)}
        for level in ("generic", "avx2", "avx512", "neon", "wasm")
    }
    whole = {"fma", "round", "half"}
    assert can == {
        "generic": set(),
        "avx2": whole,
        "avx512": whole,
        "neon": whole,
        "wasm": {"round"},
    }


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
    def tuning(level: str, *, less: str = "", more: str = "") -> str:
        features = target.make(level).features
        changed = features.difference(less.split()) | set(more.split())
        return target.make(level, changed).cpu

    assert tuning("amx", less="amx-fp16") == "sapphirerapids"
    assert tuning("avx512") == "icelake-server"
    assert tuning("avx512", more="sse4a") == "znver4"
    older = "avx512vnni avx512bf16"
    assert tuning("avx512", less=older) == "skylake-avx512"


def test_machine_is_sane() -> None:
    made = target.host()
    assert 1 <= made.cores <= 4096
    assert 8 << 10 <= made.l1 <= made.l2 <= made.l3
