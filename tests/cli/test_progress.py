"""Progress on a terminal, beside code that puts other streams in place of the standard ones."""

import io
import sys
import time
from contextlib import ExitStack, redirect_stderr, redirect_stdout

import pytest

from sardonyx.cli import output
from sardonyx.cli.output import Output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "PATIENCE", 0.01)


def _shown(terminal: Terminal, what: str) -> bool:
    until = time.monotonic() + 10
    while what not in terminal.getvalue() and time.monotonic() < until:
        time.sleep(0.01)
    return what in terminal.getvalue()


def test_a_bar_is_seen_while_others_hold_the_streams() -> None:
    terminal, sink = Terminal(), io.StringIO()
    with ExitStack() as held:
        held.enter_context(redirect_stderr(terminal))
        progress = held.enter_context(Output().progress("working"))
        held.enter_context(redirect_stdout(sink))
        held.enter_context(redirect_stderr(sink))
        progress(0.5)
        assert _shown(terminal, "working")
    assert sink.getvalue() == ""


def test_standard_streams_are_what_they_were_afterwards() -> None:
    terminal, stdout = Terminal(), sys.stdout
    out = Output()
    with redirect_stderr(terminal):
        with out.progress("working"), redirect_stderr(io.StringIO()):
            assert _shown(terminal, "working")
        assert sys.stderr is terminal
        assert sys.stdout is stdout
        out.note("afterwards")
    assert "afterwards" in terminal.getvalue()
