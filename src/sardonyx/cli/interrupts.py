"""Ctrl-C while modules are imported: the process ends at once, with one line and code 130.

An exception there may be swallowed or turned into another by the module that it meets (numpy calls
itself broken), and there is nothing yet to clean up.
"""

import os
import signal
import sys
from typing import Any

CODE = 130
_SOON = 0.01


def leave_at_once() -> None:
    """From now on Ctrl-C ends the process, where it would raise KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, where it would end the process.

    What it meets may be a finalizer or a callback, which Python lets no exception leave: then it is
    raised once more, a little later.
    """
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = _unraised


def _unraised(caught: Any) -> None:
    if not issubclass(caught.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(caught)
        return
    # Not at once: this function lets no exception leave either.
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, _SOON)


def _leave(number: int, frame: object) -> None:
    del number, frame
    os.write(2, b"interrupted\n")
    os._exit(CODE)
