"""Ctrl-C wherever it falls."""

import subprocess
import sys

import pytest

from cli.call import SOURCE

START = """
import os, signal, sys, time, weakref
signal.signal(signal.SIGINT, signal.default_int_handler)
from sardonyx.cli import interrupts
interrupts.leave_at_once()
interrupts.raise_again()
def press(*_):
    os.kill(os.getpid(), signal.SIGINT)
class Held: pass
held = Held()
"""
CALLBACKS = {
    "weak reference": "kept = weakref.ref(held, press)",
    "finalizer": "Held.__del__ = press",
}
END = """
try:
    del held
    time.sleep(20)
except KeyboardInterrupt:
    print("raised")
"""


def _says(text: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", START + text],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(SOURCE)},
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("where", CALLBACKS)
def test_it_is_raised_though_a_callback_swallowed_it(where: str) -> None:
    assert _says(CALLBACKS[where] + END) == ("raised\n", "")


def test_other_errors_of_callbacks_are_shown() -> None:
    _, err = _says("Held.__del__ = lambda _: 1 / 0\ndel held\n")
    assert "ZeroDivisionError" in err
