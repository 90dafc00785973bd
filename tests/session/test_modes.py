"""The same bits whatever the caller's rounding and subnormals; the caller's mode is put back."""

from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from graph.sources import parse
from modes import MODES, mode, now
from sardonyx.formats import to_bytes

NET = """
const w: float32[3, 4] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12}
const t: float32[1] = {3e-39}
input x: float32[N, 3]
u = Mul(t, t)
v = Add(t, t)
m = MatMul(x, w)
n = Mul(m, v)
y = Softmax(m)
z = Exp(y)
output y
output z
output n
output v
"""
HOSTED = """
const t: float32[1] = {3e-39}
input x: float32[N, 3]
i = NonZero(x)
j = Cast<to=1>(i)
v = Add(t, t)
n = Mul(j, v)
s = Sum(n, j)
d = SequenceConstruct(x, s)
e = SequenceAt(d, zero)
const zero: int64[] = {1}
y = Exp(e)
output y
output n
"""


HALVING = "const h: float32[1] = {0.5}\ninput x: float32[N, 3]\ny = Mul(x, h)\noutput y\n"

# Numbers in texts are rounded by the mode that reads them.
MODELS = {
    name: to_bytes(parse(text))
    for name, text in {"native": NET, "hosted": HOSTED, "halving": HALVING}.items()
}


def session(provider: str, threads: int, text: str, **entries: str) -> sx.InferenceSession:
    options = sx.SessionOptions(intra_op_num_threads=threads)
    for name, value in entries.items():
        options.add_session_config_entry(f"session.{name}", value)
    return sx.InferenceSession(MODELS[text], options, providers=[provider])


def feeds(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 3)).astype(np.float32)
    x[0] = 1e-30
    return {"x": x}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("provider", ["native", "reference"])
@pytest.mark.parametrize("text", ["native", "hosted"])
@pytest.mark.parametrize(("rows", "threads"), [(3, 1), (60_000, 1), (60_000, 2)])
def test_the_same_bits_in_every_mode(
    provider: str, text: str, rows: int, threads: int, name: str
) -> None:
    plain = session(provider, threads, text)
    x = feeds(rows)
    wanted = plain.run(None, x)
    with mode(name):
        mine = now()
        made = session(provider, threads, text)
        for one in (plain, made):
            for options in (None, None, sx.RunOptions()):
                for a, b in zip(one.run(None, x, options), wanted, strict=True):
                    assert a.tobytes() == b.tobytes()
                assert now() == mine


@pytest.mark.parametrize("rows", [3, 60_000])
def test_subnormals_are_zero_where_the_session_asks(rows: int) -> None:
    kept = session("native", 2, "halving")
    flushed = session("native", 2, "halving", set_denormal_as_zero="1")
    x = {"x": np.full((rows, 3), 1.2e-38, np.float32)}
    mine = now()
    for _ in range(3):
        assert np.all(kept.run(None, x)[0] != 0)
        assert np.all(flushed.run(None, x)[0] == 0)
    assert now() == mine
