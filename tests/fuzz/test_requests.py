"""No request makes native code read outside of its buffers or raise what is not ours."""

from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from conformance import node_cases
from fuzz import requests
from fuzz.worker import outcomes
from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument, ShapeMismatch
from sardonyx.core.expr import Expr
from sardonyx.engine.fuse.fuse import Host, fuse
from sardonyx.formats import load
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.shapes import like
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize, prepare
from texts import load as graph

NAMES = requests.names()
STEP = 60
# Of operators with secondary operands, whose sizes binding relates to those of the main ones.
SECONDARY = (
    "test_causal_conv_with_state_decode_step",
    "test_group_normalization_epsilon",
    "test_nllloss_NCd1_mean_weight_negative_ii",
    "test_qlinearmatmul_2D_int8_float16",
    "test_reversesequence_batch",
    "test_rms_normalization_2d_axis0",
    "test_rotary_embedding",
    "test_tensorscatter",
)
SHARE = sorted({*range(0, len(NAMES), STEP), *map(NAMES.index, SECONDARY)})


@pytest.mark.parametrize("number", SHARE, ids=NAMES.__getitem__)
def test_lies_about_a_case(number: int) -> None:
    assert list(outcomes(number, number + 1, requests.problems)) == [(number, [])]


@pytest.mark.exhaustive
def test_lies_about_every_case() -> None:
    many = outcomes(0, len(NAMES), requests.problems)
    assert {NAMES[n]: lines for n, lines in many if lines} == {}


def prepared(name: str, loose: bool) -> Any:
    made = (
        requests.loosened(name)
        if loose
        else load(bytes(node_cases.cases()[name].model.SerializeToString()))
    )
    infer(made)
    return prepare(optimize(made).graph)


@pytest.mark.parametrize("loose", [False, True], ids=["as declared", "all symbolic"])
def test_no_operator_reads_where_unbounded_data_say(loose: bool) -> None:
    told = []
    for name in NAMES[::8]:
        try:
            steps = fuse(prepared(name, loose))
        except sx.SardonyxError:
            continue
        told += [(name, s.reason) for s in steps if isinstance(s, Host) and "bounds" in s.reason]
    assert told == []


GATHER = """graph g {
opset "" 21
input x: float32[N, 3]
input i: int64[K]
y = Gather(x, i)
output y
}"""


def test_a_subscript_out_of_range_ends_in_an_error_in_native_code() -> None:
    session = sx.InferenceSession(graph(GATHER))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    for _ in range(3):
        (y,) = session.run(None, {"x": x, "i": np.array([3, -4])})
        assert np.array_equal(y, x[[3, 0]])
        for bad in (4, -5, 1 << 40):
            with pytest.raises(InvalidArgument, match="E0210") as caught:
                session.run(None, {"x": x, "i": np.array([0, bad])})
            assert (caught.value.tensor, caught.value.given) == ("i", bad)


SCALE = """graph g {
opset "" 21
input x: float32[N, C, 4]
input scale: float32[S]
input bias: float32[S]
y = GroupNormalization<num_groups=2>(x, scale, bias)
output y
}"""


def test_an_operand_of_another_length_ends_in_an_error() -> None:
    session = sx.InferenceSession(graph(SCALE))
    x = np.ones((2, 6, 4), np.float32)
    full = np.ones(6, np.float32)
    assert session.run(None, {"x": x, "scale": full, "bias": full})[0].shape == x.shape
    for size in (1, 5, 7):
        other = np.ones(size, np.float32)
        with pytest.raises(ShapeMismatch, match="E0207"):
            session.run(None, {"x": x, "scale": other, "bias": other})


class Unrelated(Op):
    """x + y, by an `infer` that relates nothing."""

    domain = "test.unrelated"
    since = 1

    def infer(self, x: Type, y: Type) -> Type:
        del y
        return like(x)

    def reference(self, x: Array, y: Array) -> Array:
        return np.asarray(x + y[: len(x)])

    def at(self, idx: Index, x: Operand, y: Operand) -> Expr:
        return x[idx] + y[idx]


UNRELATED = """graph g {
opset "" 21
opset "test.unrelated" 1
input x: float32[N]
input y: float32[M]
z = test.unrelated::Unrelated(x, y)
output z
}"""


def test_an_operand_that_is_too_short_ends_in_an_error_that_names_it() -> None:
    session = sx.InferenceSession(graph(UNRELATED))
    x = np.ones(4, np.float32)
    assert session.run(None, {"x": x, "y": np.ones(5, np.float32)})[0].tolist() == [2.0] * 4
    with pytest.raises(ShapeMismatch, match="E0234") as caught:
        session.run(None, {"x": x, "y": x[:1]})
    assert caught.value.tensor == "y"
