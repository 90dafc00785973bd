"""The compiler and forks: a lock that is free passes, one that is kept is told."""

import threading

import pytest
from llvmlite.binding import ffi

from sardonyx.core.errors import CompileError
from sardonyx.engine.code import fork
from sardonyx.engine.code.fork import Gate


def test_a_fork_holds_the_lock_that_llvm_is_called_under() -> None:
    held = []

    def elsewhere() -> None:
        held.append(not ffi.lib._lock._lock.acquire(timeout=0))

    fork.LLVM.before()
    other = threading.Thread(target=elsewhere)
    other.start()
    other.join()
    fork.LLVM.parent()
    assert held == [True]
    assert ffi.lib._lock._lock.acquire(timeout=0)
    ffi.lib._lock._lock.release()


def test_a_child_takes_the_lock_from_a_thread_that_it_has_not() -> None:
    lock, kept, go = threading.RLock(), threading.Event(), threading.Event()

    def keep() -> None:
        lock.acquire()
        kept.set()
        go.wait(20)

    other = threading.Thread(target=keep)
    other.start()
    kept.wait(20)
    gate = Gate(lock, patience=0.01)
    gate.before()
    gate.parent()
    gate.check()
    gate.before()
    gate.child()
    with pytest.raises(CompileError, match="E0807"):
        gate.check()
    assert lock.acquire(timeout=1)
    lock.release()
    go.set()
    other.join()


def test_a_fork_within_the_compiler_is_no_matter() -> None:
    """A signal handler may fork while its own thread is inside."""
    lock = threading.RLock()
    gate = Gate(lock, patience=5)
    with lock:
        gate.before()
        gate.child()
        gate.check()
    assert not gate.broken
