from collections.abc import Callable
from dataclasses import replace

import pytest

from sardonyx.core import knobs
from sardonyx.core.errors import CompileError
from sardonyx.engine.code import helper as worker
from sardonyx.engine.code import object as codegen
from sardonyx.engine.code.helper import Worker, objects_of
from sardonyx.loops import target

HASWELL = replace(target.make("avx2"), cores=2)
GOOD = "define i32 @f() {\n  ret i32 5\n}"
TILES = """
declare void @llvm.x86.tilezero(i8 immarg)
define void @f() {
  call void @llvm.x86.tilezero(i8 0)
  ret void
}"""


def returning(number: int) -> str:
    steps = "".join(f"  %x{n} = add i32 %x{n - 1}, %a\n" for n in range(1, 200))
    return f"define i32 @f(i32 %a, i32 %x0) {{\n{steps}  ret i32 {number}\n}}"


def texts(count: int) -> list[Callable[[], str]]:
    return [lambda n=n: returning(n) for n in range(count)]  # type: ignore[misc]


def test_survives_the_death_of_the_compiler() -> None:
    made = codegen.object_of(GOOD, HASWELL)
    with Worker() as one:
        assert one.object_of(GOOD, HASWELL) == made
        with pytest.raises(CompileError, match="E0802"):
            one.object_of("nonsense", HASWELL)
        with pytest.raises(CompileError, match="Cannot select"):
            one.object_of(TILES, HASWELL)
        assert one.object_of(GOOD, HASWELL) == made


def test_a_process_that_is_dismissed_while_starting_is_gone() -> None:
    one = Worker()
    one._start()
    one.dismiss()
    with pytest.raises(CompileError, match="E0803"):
        one.wait()
    one.close()


def test_two_processes_make_what_one_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [codegen.object_of(text(), HASWELL) for text in texts(40)]
    monkeypatch.setattr(worker, "_MANY", 2)
    taken = []
    original = Worker.object_of

    def counted(self: Worker, text: str, chosen: target.Target) -> bytes:
        taken.append(text)
        return original(self, text, chosen)

    monkeypatch.setattr(Worker, "object_of", counted)
    started = Worker.wait

    def first(self: Worker) -> None:
        started(self)
        ready.append(True)

    ready: list[bool] = []
    monkeypatch.setattr(Worker, "wait", first)

    def slow(n: int) -> str:
        while not ready:
            pass
        return returning(n)

    waiting = [lambda n=n: slow(n) for n in range(40)]
    assert objects_of(waiting, HASWELL) == alone
    assert 0 < len(taken) < 40
    assert len(set(taken)) == len(taken)


def test_few_texts_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Worker) -> None:
        raise AssertionError

    monkeypatch.setattr(Worker, "_start", refuse)
    assert len(objects_of(texts(5), HASWELL)) == 5
    assert len(objects_of(texts(60), replace(HASWELL, cores=1))) == 60


def test_work_gets_done_where_no_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Worker) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(Worker, "_start", refuse)
    assert len(objects_of(texts(60), HASWELL)) == 60


def test_what_fails_in_the_other_process_is_told_by_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "_MANY", 2)
    bad: list[Callable[[], str]] = [*texts(5), lambda: "nonsense"]
    with pytest.raises(CompileError, match="E0802"):
        objects_of(bad, HASWELL)


def test_the_other_thread_sees_the_same_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_MANY", 2)
    seen = []

    def text(n: int) -> str:
        seen.append(knobs.PRECISION.get())
        return returning(n)

    with knobs.override(precision="medium"):
        objects_of([lambda n=n: text(n) for n in range(30)], HASWELL)  # type: ignore[misc]
    assert set(seen) == {"medium"}
