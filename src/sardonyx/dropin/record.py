"""What a program did with sessions: which ran where, what ran on the host, what was missing."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from sardonyx.core.errors import SardonyxError
from sardonyx.core.escape import sanitise
from sardonyx.session.session import InferenceSession

_SHOWN = 5


@dataclass
class Made:
    """One session: its model, who runs it, how often and how long, and what went wrong."""

    model: str
    provider: str = ""
    seconds_to_make: float = 0.0
    runs: int = 0
    seconds_in_runs: float = 0.0
    host_steps: list[dict[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, error: BaseException) -> None:
        """Keeps an error, once."""
        said = error.message if isinstance(error, SardonyxError) else str(error)
        code = f"{error.code}: " if isinstance(error, SardonyxError) else ""
        line = f"{type(error).__name__}: {code}{said}"
        if line not in self.errors:
            self.errors.append(line)

    def lines(self, every: bool) -> list[str]:
        """In words, with some host steps or all."""
        told = f"{self.model}: " + (
            f"{self.provider}, made in {self.seconds_to_make:.2f} s, {self.runs} runs in "
            f"{self.seconds_in_runs:.3f} s, {len(self.host_steps)} host steps"
            if self.provider
            else "not made"
        )
        steps = [f"  host step `{s['node']}` ({s['op']}): {s['reason']}" for s in self.host_steps]
        left = 0 if every else max(len(steps) - _SHOWN, 0)
        more = [f"  and {left} more"] if left else []
        return [told, *steps[: len(steps) - left], *more, *(f"  {e}" for e in self.errors)]


@dataclass
class Record:
    """All sessions of a process, and the names that were asked for and missing."""

    sessions: list[Made] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)

    def miss(self, name: str) -> None:
        """Notes a name that there is not."""
        self.missing[name] = self.missing.get(name, 0) + 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {"sessions": [asdict(s) for s in self.sessions], "missing": self.missing}

    def text(self, every: bool = False) -> str:
        """In words, safe for a terminal."""
        lines = [line for made in self.sessions for line in made.lines(every)]
        lines += [f"missing: {name} (asked for {n}×)" for name, n in self.missing.items()]
        return "\n".join(f"sardonyx: {sanitise(line)}" for line in lines or ["no session was made"])

    def watch(self) -> None:
        """Has every session of this process from now on noted."""
        make, run = InferenceSession.__init__, InferenceSession.run

        @functools.wraps(make)
        def making(session: InferenceSession, model: Any, *args: Any, **named: Any) -> None:
            made = Made(_name(model))
            self.sessions.append(made)
            _timed(made, "seconds_to_make", lambda: make(session, model, *args, **named))
            made.provider = session.get_providers()[0]
            made.host_steps = [gap.to_dict() for gap in session.gaps()]
            vars(session)["_made"] = made

        @functools.wraps(run)
        def running(session: InferenceSession, *args: Any, **named: Any) -> Any:
            made = vars(session).get("_made")
            if made is None:
                return run(session, *args, **named)
            made.runs += 1
            return _timed(made, "seconds_in_runs", lambda: run(session, *args, **named))

        for name, method in (("__init__", making), ("run", running)):
            setattr(InferenceSession, name, method)


def _timed(made: Made, name: str, call: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    try:
        return call()
    except BaseException as error:
        made.note(error)
        raise
    finally:
        setattr(made, name, getattr(made, name) + time.perf_counter() - start)


def _name(model: Any) -> str:
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    size = f" of {len(model)} bytes" if isinstance(model, bytes) else ""
    return f"a {type(model).__name__}{size}"
