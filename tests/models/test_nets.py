"""Small networks run natively, for any batch and length, as exactly as ONNX Runtime runs them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from torch import nn

import peers
from networks import NETS, Net, exact, exported, settled
from sardonyx.bench.accuracy import relative_error
from sardonyx.session import InferenceSession, SessionOptions

BATCHES = (1, 2, 3, 4, 5, 6, 7, 8)
FLOOR = 2e-7


@dataclass(frozen=True)
class Made:
    """A network exported, with its float64 twin."""

    net: Net
    double: nn.Module
    model: bytes


@pytest.fixture(scope="module", params=NETS)
def made(request: pytest.FixtureRequest) -> Made:
    net = NETS[request.param]
    module = settled(net)
    model = exported(net, module)
    return Made(net, copy.deepcopy(module).double(), model)


def opened(model: bytes, threads: int) -> InferenceSession:
    options = SessionOptions(intra_op_num_threads=threads)
    return InferenceSession(model, options)


def test_it_runs_natively_and_as_exactly_as_onnx_runtime(made: Made) -> None:
    ours = opened(made.model, 1)
    assert ours.gaps() == []
    theirs = peers.session(made.model)
    for n in BATCHES:
        for s in made.net.lengths:
            feeds = made.net.feeds(n, s)
            given = {name: x.numpy() for name, x in feeds.items()}
            wanted = exact(made.double, feeds)
            pairs = zip(ours.run(None, given), theirs.run(None, given), wanted, strict=True)
            for mine, other, truth in pairs:
                error, allowed = (relative_error(mine, truth), relative_error(other, truth))
                assert error <= 2 * allowed + FLOOR, (n, s, error, allowed)


def test_two_threads_agree_with_one(made: Made) -> None:
    one, two = opened(made.model, 1), opened(made.model, 2)
    for n, s in ((1, 1), (8, made.net.lengths[-1])):
        feeds: dict[str, Any] = {name: x.numpy() for name, x in made.net.feeds(n, s).items()}
        for a, b in zip(one.run(None, feeds), two.run(None, feeds), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_row_alone_is_as_in_a_batch(made: Made) -> None:
    session, length = opened(made.model, 1), made.net.lengths[-1]
    feeds = {name: x.numpy() for name, x in made.net.feeds(5, length).items()}
    together = session.run(None, feeds)
    for n in range(5):
        alone = session.run(None, {name: x[n : n + 1] for name, x in feeds.items()})
        for a, b in zip(alone, together, strict=True):
            assert relative_error(a[0], b[n].astype(np.float64)) < 1e-6
