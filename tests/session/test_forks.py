"""Forks: a child made while other threads run, or make sessions, runs models of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
TESTS = Path(__file__).parent.parent

HEAD = """
import multiprocessing, os, select, signal, sys, threading, time, warnings
import numpy as np
import sardonyx as sx
from sardonyx.core import knobs
from graph.sources import parse

warnings.simplefilter("ignore")
TEXT = '''
const w: float32[3, 4] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12}
input x: float32[N, 3]
m = MatMul(x, w)
y = Softmax(m)
output y
'''
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def session(threads=2):
    return sx.InferenceSession(parse(TEXT), sx.SessionOptions(intra_op_num_threads=threads))


def ended(child, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def forked(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return child


def under(load, count):
    done, threads = threading.Event(), []

    def again():
        while not done.is_set():
            load()

    for _ in range(count):
        threads.append(threading.Thread(target=again, daemon=True))
        threads[-1].start()
    return lambda: (done.set(), [t.join() for t in threads])
"""


def script(body: str, tmp_path: Path, timeout: float = 240) -> None:
    file = tmp_path / "script.py"
    file.write_text(HEAD + body, encoding="utf-8")
    code = "import runpy, sys; sys.path[:] = sys.argv[2:]; runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", code, str(file), str(TESTS), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_fork_while_other_threads_run(tmp_path: Path) -> None:
    """Children run the session that was busy, on shapes old and new, and a session of their own."""
    body = """
one = session()
big = np.resize(X, (20000, 3))
wanted = one.run(None, {"x": X})[0]
stop = under(lambda: (one.run(None, {"x": X}), one.run(None, {"x": big})), 3)

def work():
    news = one.run(None, {"x": np.resize(X, (7, 3))})[0]
    return (
        np.array_equal(one.run(None, {"x": X})[0], wanted)
        and np.array_equal(session().run(None, {"x": X})[0], wanted)
        and news.shape == (7, 4)
        and one.run(None, {"x": big})[0].shape == (20000, 4)
    )

codes = []
for _ in range(12):
    codes.append(ended(forked(work)))
stop()
assert codes == [0] * 12, codes
"""
    script(body, tmp_path)


def test_fork_while_sessions_are_made(tmp_path: Path) -> None:
    """Nothing is cached, so that the threads are inside the compiler nearly all the time."""
    body = """
with knobs.override(cache=False):
    wanted = session().run(None, {"x": X})[0]

def load():
    with knobs.override(cache=False):
        session().run(None, {"x": X})

def work():
    load()
    return np.array_equal(session().run(None, {"x": X})[0], wanted)

stop = under(load, 3)
codes = []
for _ in range(12):
    time.sleep(0.03)
    codes.append(ended(forked(work)))
stop()
assert codes == [0] * 12, codes
"""
    script(body, tmp_path)


@pytest.mark.parametrize("long", [False, True], ids=["short kernels", "a long kernel"])
def test_fork_in_the_midst_of_a_run_of_the_same_thread(long: bool, tmp_path: Path) -> None:
    """A signal handler forks while its thread runs on two threads: the child, which has not what
    the second thread did, is told so, and then runs as ever."""
    body = """
if LONG:
    square = parse("input x: float32[N, N]\\ny = MatMul(x, x)\\noutput y")
    one = sx.InferenceSession(square, sx.SessionOptions(intra_op_num_threads=2))
    big = np.resize(X, (2000, 2000))
else:
    one, big = session(2), np.resize(X, (400_000, 3))
children = []
wanted = one.run(None, {"x": big})[0]
home = os.getpid()

def handler(*_):
    if os.getpid() == home and len(children) < 5:
        child = os.fork()
        if child:
            children.append(child)

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
good = True
while os.getpid() == home and len(children) < 5:
    try:
        good = np.array_equal(one.run(None, {"x": big})[0], wanted) and good
    except sx.Terminated:
        good = good and os.getpid() != home
signal.setitimer(signal.ITIMER_REAL, 0)
if os.getpid() != home:
    good = np.array_equal(one.run(None, {"x": big})[0], wanted) and good
    os._exit(0 if good else 3)
codes = [ended(child) for child in children]
assert good and not any(codes), codes
"""
    script(f"LONG = {long}\n{body}", tmp_path)


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_multiprocessing(way: str, tmp_path: Path) -> None:
    body = f"""
from session.processes import answers
one = session()
wanted = one.run(None, {{"x": X}})[0]
stop = under(lambda: one.run(None, {{"x": X}}), 2)
context = multiprocessing.get_context({way!r})
with context.Pool(2) as pool:
    found = pool.starmap_async(answers, [(one, X * k) for k in range(8)]).get(60)
stop()
for k, y in enumerate(found):
    assert np.array_equal(y, one.run(None, {{"x": X * k}})[0]), k
"""
    script(body, tmp_path)


def test_process_pool_executor(tmp_path: Path) -> None:
    body = """
from concurrent.futures import ProcessPoolExecutor
from session.processes import answers
one = session()
stop = under(lambda: one.run(None, {"x": X}), 2)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    found = [pool.submit(answers, one, X * k) for k in range(8)]
    found = [f.result(60) for f in found]
stop()
for k, y in enumerate(found):
    assert np.array_equal(y, one.run(None, {"x": X * k})[0]), k
"""
    script(body, tmp_path)


def test_joblib(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    body = """
from joblib import Parallel, delayed
from session.processes import answers
one = session()
found = Parallel(n_jobs=2, timeout=60)(delayed(answers)(one, X * k) for k in range(8))
for k, y in enumerate(found):
    assert np.array_equal(y, one.run(None, {"x": X * k})[0]), k
"""
    script(body, tmp_path)


def test_a_server_that_loads_before_it_forks(tmp_path: Path) -> None:
    """As gunicorn does with --preload: the parent warms up, forks, and forks again what died."""
    body = """
one = session()
wanted = one.run(None, {"x": X})[0]
stop = under(lambda: one.run(None, {"x": X}), 1)

def serve(read, write):
    ways = [threading.Thread(target=one.run, args=(None, {"x": X})) for _ in range(3)]
    for t in ways: t.start()
    for t in ways: t.join()
    while os.read(read, 1) == b"?":
        y = one.run(None, {"x": X})[0]
        os.write(write, b"y" if np.array_equal(y, wanted) else b"n")
    return True

def worker():
    asked, ask = os.pipe()
    answer, answered = os.pipe()
    child = forked(lambda: (os.close(ask), serve(asked, answered))[1])
    os.close(asked); os.close(answered)
    return child, ask, answer

def request(ask, answer):
    os.write(ask, b"?")
    ready, _, _ = select.select([answer], [], [], 30)
    return os.read(answer, 1) if ready else b"hangs"

workers = [worker() for _ in range(3)]
assert [request(a, b) for _, a, b in workers for _ in range(5)] == [b"y"] * 15
os.kill(workers[0][0], signal.SIGKILL)
os.waitpid(workers[0][0], 0)
workers[0] = worker()
assert [request(a, b) for _, a, b in workers for _ in range(5)] == [b"y"] * 15
for child, ask, _ in workers:
    os.write(ask, b".")
    assert ended(child) == 0
stop()
"""
    script(body, tmp_path)
