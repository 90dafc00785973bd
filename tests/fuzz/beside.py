"""What runs ONNX Runtime for `fuzz.peer`: a program that answers on its standard output.

It is told pickles of ("load", model) and ("run", feeds), and answers each with the outputs or with
a text that says why there are none. A question that takes long ends it.
"""

from __future__ import annotations

import pickle
import signal
import sys
from typing import Any

import onnxruntime as ort

SECONDS = 20


def loaded(model: bytes) -> ort.InferenceSession:
    """A session on one thread that changes nothing about a model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Answers until nobody asks."""
    session: Any = None
    while True:
        try:
            what, given = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: list[Any] | str
        signal.alarm(SECONDS)
        try:
            if what == "load":
                session, answer = None, []
                session = loaded(given)
            else:
                answer = session.run(None, given)
        except Exception as problem:  # noqa: BLE001 - it is told
            answer = str(problem)
        signal.alarm(0)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
