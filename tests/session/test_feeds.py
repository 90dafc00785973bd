"""What may be fed, and what is said about what may not."""

import ml_dtypes
import numpy as np
import pytest

from sardonyx.core.errors import InvalidArgument, LimitExceeded, ShapeMismatch
from sardonyx.formats import save
from sardonyx.session import InferenceSession, OrtValue
from session.models import AFFINE, SHARED, encoded, graph

X = np.arange(6, dtype=np.float32).reshape(2, 3)
W = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
Y = X @ W + np.array([0.5, -0.5], np.float32)


@pytest.fixture(scope="module")
def affine() -> InferenceSession:
    return InferenceSession(encoded(AFFINE))


def _identity(dtype: str, shape: str = "N") -> InferenceSession:
    text = f'graph g {{ opset "" 25 input x: {dtype}[{shape}] y = Identity(x) output y }}'
    return InferenceSession(graph(text))


def _refused(session: InferenceSession, feeds: object) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        session.run(None, feeds)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    "x",
    [
        X.T.copy().T,
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        X.astype(">f4"),
        X.tolist(),
        [[0, 1, 2], [3, 4, 5]],
        tuple(map(tuple, X.tolist())),
        OrtValue(X),
    ],
    ids=["transposed", "fortran", "strided", "big-endian", "floats", "ints", "tuples", "ortvalue"],
)
def test_forms_of_one_array(affine: InferenceSession, x: object) -> None:
    for _ in range(2):
        np.testing.assert_allclose(affine.run(None, {"x": x})[0], Y, rtol=1e-6)


@pytest.mark.parametrize("x", [np.ma.array(X), X.view(np.recarray)], ids=["masked", "records"])
@pytest.mark.parametrize("provider", ["native", "reference"])
def test_kinds_of_arrays_are_arrays(provider: str, x: np.ndarray) -> None:
    session = InferenceSession(encoded(AFFINE), providers=[provider])
    for _ in range(2):
        np.testing.assert_allclose(session.run(None, {"x": x})[0], Y, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "x"),
    [
        ("float32", np.array(["a"], np.dtypes.StringDType())),
        ("string", np.array(["a", None], np.dtypes.StringDType(na_object=None))),
        ("string", np.array([b"\xff"])),
    ],
    ids=["texts for numbers", "a text that is none", "bytes that are no text"],
)
def test_texts_that_are_none(dtype: str, x: object) -> None:
    assert _refused(_identity(dtype), {"x": x}).tensor == "x"


@pytest.mark.parametrize("dtype", ["float32", "string"])
def test_an_array_larger_than_memory(dtype: str) -> None:
    one = np.array("a", object) if dtype == "string" else np.float32(1)
    with pytest.raises(LimitExceeded, match="E0506"):
        _identity(dtype).run(None, {"x": np.broadcast_to(one, (1 << 55,))})


@pytest.mark.parametrize("names", [5, [None], [["y"]], b"y"], ids=repr)
def test_output_names_that_are_none(affine: InferenceSession, names: object) -> None:
    with pytest.raises(InvalidArgument, match="E0204"):
        affine.run(names, {"x": X})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [5, None, b"x"], ids=repr)
def test_input_names_that_are_none(affine: InferenceSession, name: object) -> None:
    assert _refused(affine, {"x": X, name: X}).code == "E0202"


def test_unaligned_array(affine: InferenceSession) -> None:
    raw = np.zeros(X.nbytes + 1, np.uint8)
    x = raw[1:].view(np.float32).reshape(X.shape)
    x[:] = X
    assert not x.flags.aligned
    np.testing.assert_allclose(affine.run(None, {"x": x})[0], Y, rtol=1e-6)


def test_read_only_input_and_fresh_outputs(affine: InferenceSession) -> None:
    x = X.copy()
    x.flags.writeable = False
    first = affine.run(None, {"x": x})[0]
    kept = first.copy()
    second = affine.run(None, {"x": x + 1})[0]
    np.testing.assert_array_equal(first, kept)
    assert first.flags.writeable
    assert not np.shares_memory(first, second)


def test_empty_batch_and_other_sizes(affine: InferenceSession) -> None:
    for n in (0, 1, 5):
        found = affine.run(None, {"x": np.ones((n, 3), np.float32)})[0]
        assert found.shape == (n, 2)


def test_scalar_input() -> None:
    session = _identity("float32", "")
    for x in (2.5, np.float32(2.5), np.array(2.5, np.float32)):
        found = session.run(None, {"x": x})[0]
        assert found.shape == ()
        assert found == np.float32(2.5)


NARROW = [
    *("float16", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2"),
    *("float8e5m2fnuz", "int4", "uint4", "int2", "uint2", "float4e2m1", "int8"),
    *("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"),
    *("float64", "complex64", "complex128"),
]


@pytest.mark.parametrize("name", NARROW)
def test_every_type_goes_in_and_comes_out(name: str) -> None:
    from sardonyx.core.dtype import DType

    dtype = DType.parse(name).numpy
    x = np.array([0, 1, 1, 0, 1], np.float32).astype(dtype)
    found = _identity(name).run(None, {"x": x})[0]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.astype(np.complex64), x.astype(np.complex64))


@pytest.mark.parametrize(
    "x",
    [
        np.array(["a", "", "ü"]),
        np.array(["a", "", "ü"], object),
        np.char.encode(np.array(["a", "", "ü"]), "utf-8"),
        ["a", "", "ü"],
    ],
    ids=["U", "O", "S", "list"],
)
def test_strings(x: object) -> None:
    found = _identity("string").run(None, {"x": x})[0]
    assert found.tolist() == ["a", "", "ü"]


def test_strings_refuse_numbers() -> None:
    session = _identity("string")
    assert _refused(session, {"x": np.zeros(2)}).code == "E0203"
    assert _refused(session, {"x": np.array(["a", 1], object)}).code == "E0203"


def test_missing_input_names_it_and_its_first_reader(affine: InferenceSession) -> None:
    error = _refused(affine, {})
    assert (error.code, error.tensor) == ("E0201", "x")
    assert error.where == "input 0, first used by node 0 `product`"
    assert error.wanted == affine.graph.inputs[0].type


def test_unknown_input_suggests_the_near_one() -> None:
    session = InferenceSession(graph(AFFINE.replace("x", "pixels")))
    error = _refused(session, {"pixel": X})
    assert error.code == "E0202"
    assert error.hint == "did you mean `pixels`?"


def test_printed_form_of_a_wrong_type(tmp_path: object) -> None:
    path = f"{tmp_path}/net.onnx"
    save(graph(AFFINE), path)
    error = _refused(InferenceSession(path), {"x": X.astype(np.float64)})
    assert str(error) == (
        "error[E0203]: input `x` is float64, the model wants float32\n"
        f"  --> {path}, input 0, first used by node 0 `product`\n"
        "   = given  float64[2,3]     wanted  float32[N,3]\n"
        "   help: pass x.astype(np.float32)"
    )
    assert error.to_dict()["exit_code"] == 2


@pytest.mark.parametrize(
    ("x", "code"),
    [
        (X.astype(ml_dtypes.bfloat16), "E0203"),
        (X.astype(np.int64), "E0203"),
        (np.array([[None]], object), "E0203"),
        ([["a", "b", "c"]], "E0203"),
        (None, "E0203"),
        (np.zeros((2, 3), "datetime64[s]"), "E0203"),
        ([[1.0, 2.0], [3.0]], "E0233"),
        (object(), "E0203"),
        (X[0], "E0205"),
        (X[None], "E0205"),
        (X[:, :2], "E0205"),
        (np.float32(1), "E0205"),
    ],
)
def test_refusals(affine: InferenceSession, x: object, code: str) -> None:
    error = _refused(affine, {"x": x})
    assert error.code == code
    assert error.tensor == "x"
    assert error.where


def test_lists_never_lose_numbers() -> None:
    session = _identity("int8")
    assert session.run(None, {"x": [1, -128]})[0].tolist() == [1, -128]
    assert _refused(session, {"x": [1, 128]}).code == "E0203"
    assert _refused(session, {"x": [0.5]}).code == "E0203"
    assert _refused(_identity("bool"), {"x": [0, 1]}).code == "E0203"


def test_feeds_that_are_no_mapping(affine: InferenceSession) -> None:
    error = _refused(affine, [X])
    assert error.code == "E0233"
    assert "'x': array" in str(error.wanted)


def test_one_symbol_two_sizes() -> None:
    session = InferenceSession(encoded(SHARED))
    feeds = {"a": np.zeros((2, 2), np.float32), "b": np.zeros((3, 2), np.float32)}
    with pytest.raises(ShapeMismatch) as caught:
        session.run(None, feeds)
    assert caught.value.code == "E0206"
    assert caught.value.message == "`N` is 2 in `a`, 3 in `b`"
    feeds["b"] = feeds["b"][:2]
    assert session.run(None, feeds)[0].shape == (2, 2)


def test_sequence_input() -> None:
    text = """
    graph seq {
      opset "" 20
      input s: sequence(float32[?])
      y = ConcatFromSequence<axis=0>(s)
      output y
    }
    """

    session = InferenceSession(graph(text.replace("float32[?]", "float32[K]")))
    x = [np.ones(2, np.float32), np.zeros(2, np.float32)]
    assert session.run(None, {"s": x})[0].tolist() == [1, 1, 0, 0]
    assert _refused(session, {"s": np.ones(2, np.float32)}).code == "E0203"
    assert _refused(session, {"s": [np.ones(2)]}).code == "E0203"


def test_torch_tensors(affine: InferenceSession) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X.copy())
    np.testing.assert_allclose(affine.run(None, {"x": x})[0], Y, rtol=1e-6)
    np.testing.assert_allclose(affine.run(None, {"x": x.T.contiguous().T})[0], Y, rtol=1e-6)
    error = _refused(affine, {"x": x.requires_grad_()})
    assert error.code == "E0233"
    assert error.tensor == "x"


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float16"])
def test_narrow_torch_tensors(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.0, 1.0, -2.0, 0.5]).to(getattr(torch, name))
    session = _identity(name.replace("float8_", "float8"))
    found = session.run(None, {"x": x})[0]
    assert found.astype(np.float32).tolist() == [0.0, 1.0, -2.0, 0.5]
