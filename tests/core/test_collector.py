import gc
import threading

from sardonyx.core.collector import held


def test_the_collector_is_off_inside_and_on_again_after_the_last() -> None:
    assert gc.isenabled()
    with held():
        assert not gc.isenabled()
        with held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_off_stays_off() -> None:
    gc.disable()
    try:
        with held():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_threads_that_overlap_leave_it_on() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with held():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with held():
        thread.start()
        inside.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_an_error_inside_turns_it_on_again() -> None:
    try:
        with held():
            raise KeyError
    except KeyError:
        assert gc.isenabled()
