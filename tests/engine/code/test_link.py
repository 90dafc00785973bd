import ctypes
import gc
from pathlib import Path

import numpy as np
import pytest

from sardonyx.core import knobs
from sardonyx.core.errors import CompileError, LimitExceeded
from sardonyx.engine.code import object as codegen
from sardonyx.engine.code.cache import Cache
from sardonyx.engine.code.link import Linker, Unit
from sardonyx.loops import target

HOST = target.host()


def returning(name: str, number: int) -> Unit:
    text = f"define i32 @{name}() {{\n  ret i32 {number}\n}}\n"
    return Unit(name, text, lambda: text)


def call(address: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


def test_loads_each_unit_once() -> None:
    linker = Linker(HOST, None)
    first = linker.load([returning("a", 1), returning("b", 2), returning("a", 1)])
    assert [call(x) for x in first] == [1, 2, 1]
    assert first[0] == first[2]
    assert linker.load([returning("b", 2)]) == [first[1]]
    assert linker.compiled == 2


def test_second_linker_finds_what_the_first_kept(tmp_path: Path) -> None:
    first = Linker(HOST, Cache(tmp_path / "code"))
    first.load([returning("a", 1)])
    second = Linker(HOST, Cache(tmp_path / "code"))
    (address,) = second.load([returning("a", 1)])
    assert call(address) == 1
    assert (first.compiled, first.found) == (1, 0)
    assert (second.compiled, second.found) == (0, 1)


def test_another_target_or_origin_is_another_object(tmp_path: Path) -> None:
    store = Cache(tmp_path / "code")
    Linker(HOST, store).load([returning("a", 1)])
    other = Linker(target.make("avx2" if HOST.level == "generic" else "generic"), store)
    other.objects([returning("a", 1)])
    assert other.compiled == 1
    changed = Linker(HOST, store)
    (address,) = changed.load([returning("a", 7)])
    assert call(address) == 7


def test_damaged_object_is_compiled_again(tmp_path: Path) -> None:
    Linker(HOST, Cache(tmp_path / "code")).load([returning("a", 1)])
    ((name, _, _),) = Cache(tmp_path / "code").entries()
    file = tmp_path / "code" / name
    file.write_bytes(file.read_bytes()[:-9])
    again = Linker(HOST, Cache(tmp_path / "code"))
    assert call(again.load([returning("a", 1)])[0]) == 1
    assert again.compiled == 1


def test_code_calls_the_math_library() -> None:
    text = """
    declare float @erff(float)
    define void @apply(ptr %p) {
      %x = load float, ptr %p
      %y = call float @erff(float %x)
      %z = fadd float %y, 1.0
      store float %z, ptr %p
      ret void
    }"""
    (address,) = (linker := Linker(HOST, None)).load([Unit("apply", text, lambda: text)])
    x = np.array([0.5], np.float32)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(x.ctypes.data)
    assert abs(x[0] - 1.5204999) < 1e-6
    assert linker.compiled == 1


def test_more_code_than_the_limit_is_not_loaded() -> None:
    one, two = returning("a", 1), returning("b", 2)
    sizes = [len(made) for made in Linker(HOST, None).objects([one, two])]
    with knobs.override(limits={"code_bytes": sum(sizes)}):
        Linker(HOST, None).load([one, two])
    with knobs.override(limits={"code_bytes": sum(sizes) - 1}):
        linker = Linker(HOST, None)
        linker.load([one])
        with pytest.raises(LimitExceeded, match="E0512"):
            linker.load([two])


def test_unparsable_text_and_unknown_symbols_are_compile_errors() -> None:
    bad = Unit("f", "bad", lambda: "define void @f() { ret i32 0 }")
    with pytest.raises(CompileError, match="E0802"):
        Linker(HOST, None).load([bad])
    text = "declare void @nowhere()\ndefine void @g() {\n call void @nowhere()\n ret void\n}"
    with pytest.raises(CompileError, match="E0804"):
        Linker(HOST, None).load([Unit("g", text, lambda: text)])


def test_linkers_come_and_go() -> None:
    for i in range(20):
        linker = Linker(HOST, None)
        assert call(linker.load([returning("a", i)])[0]) == i
        del linker
        gc.collect(1)


def test_assembly_can_be_read_for_another_machine() -> None:
    text = "define float @f(float %x) {\n  %y = fadd float %x, 1.0\n  ret float %y\n}"
    assert "fadd" in codegen.assembly_of(text, target.make("neon"))
