"""The factory of contenders that run a model in one of our sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from numpy.typing import NDArray

from sardonyx.bench.contender import Arrays, Prepared, Run
from sardonyx.session import InferenceSession, SessionOptions


class Session:
    """One of our sessions, called as a user calls it: `session.run(None, feeds)`."""

    def __init__(self, model: str, provider: str, threads: int) -> None:
        options = SessionOptions()
        options.intra_op_num_threads = threads
        self.session = InferenceSession(model, options, providers=[provider])
        self.names: Sequence[str] = [output.name for output in self.session.get_outputs()]
        self.settings: Mapping[str, Any] = {"provider": provider, "threads": threads}

    def bind(self, feeds: Arrays) -> Run:
        """A plain run; inputs are checked and outputs are fresh arrays every time."""
        run = self.session.run
        return lambda: run(None, feeds)

    def arrays(self, result: Any) -> Sequence[NDArray[Any]]:
        """The outputs of a run."""
        return cast("Sequence[NDArray[Any]]", result)


def session(*, model: str, provider: str, threads: int) -> Prepared:
    """A session of ours on any provider."""
    return Session(model, provider, threads)
