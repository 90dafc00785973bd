"""OpenVINO beside others in one process."""

import subprocess
import sys

SIGNAL = """
import signal, time
import numpy as np
from sardonyx.session import InferenceSession
from session.models import AFFINE, encoded

made = [InferenceSession(encoded(AFFINE), providers=["openvino"]) for _ in range(2)]
for session in made:
    session.run(None, {"x": np.ones((2, 3), np.float32)})
del session
while made:
    made.pop(0)
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while not seen:
    time.sleep(0.01)
"""


def test_signals_are_handled_after_sessions_have_gone_in_any_order() -> None:
    paths = f"import sys; sys.path[:0] = {sys.path!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", paths + SIGNAL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
