"""Scalers, encoders, linear models, support vectors against ONNX Runtime; maps; bad attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import sardonyx as sx
from ops.ml.models import DOMAIN, alike, model, ours
from sardonyx.session import InferenceSession

Rng = np.random.Generator
NAN = float("nan")
X = np.array([[1, 2], [3, -4], [0, 0], [-1, 0.5]], np.float32)
INTS = X.astype(np.int64)
WORDS = np.array([["a", "b"], ["zz", "c"]], object)
POSTS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")

ALIKE: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "scaler": ("Scaler", [X], {"scale": [2.0, 3.0], "offset": [1.0, 0.5]}),
    "scaler one": ("Scaler", [X], {"scale": [2.0], "offset": [1.0]}),
    "scaler ints": ("Scaler", [INTS], {"scale": [2.0, 3.0], "offset": [1.0, 0.5]}),
    "scaler doubles": ("Scaler", [X.astype(float)], {"scale": [2.0, 3.3], "offset": [1.0, 0.7]}),
    "imputer": (
        "Imputer", [np.array([[1, NAN], [NAN, 4]], np.float32)],
        {"imputed_value_floats": [9.0, 8.0], "replaced_value_float": NAN},
    ),
    "imputer ints": (
        "Imputer", [INTS], {"imputed_value_int64s": [9], "replaced_value_int64": 1},
    ),
    "extractor": ("ArrayFeatureExtractor", [X, np.array([1, 0, 1])], {}),
    "extractor of one": ("ArrayFeatureExtractor", [X[0], np.array([[1, 0]])], {}),
    "vectorizer": ("FeatureVectorizer", [X, X[:, :1]], {"inputdimensions": [2, 1]}),
    "vectorizer cut": ("FeatureVectorizer", [X, X[:, :1]], {"inputdimensions": [1, 3]}),
    "binarizer": ("Binarizer", [X], {"threshold": 0.5}),
    "one hot": ("OneHotEncoder", [INTS], {"cats_int64s": [1, 2, 3]}),
    "one hot floats": (
        "OneHotEncoder",
        [np.array([[1.6, 2.2, NAN, -0.5]], np.float32)],
        {"cats_int64s": [1, 2, 5]},
    ),
    "one hot twice": ("OneHotEncoder", [INTS], {"cats_int64s": [1, 2, 1]}),
    "one hot words": ("OneHotEncoder", [WORDS], {"cats_strings": ["a", "b"]}),
    "labels": (
        "LabelEncoder", [INTS],
        {"keys_int64s": [1, 3, 0], "values_floats": [0.5, 1.5, 2.5], "default_float": -3.0},
    ),
    "labels of floats": (
        "LabelEncoder", [np.array([1, NAN, -0.0, 5], np.float32)],
        {"keys_floats": [NAN, 0.0, 5.0], "values_int64s": [7, 8, 9]},
    ),
    "labels of words": (
        "LabelEncoder", [WORDS], {"keys_strings": ["a", "b"], "values_int64s": [7, 8]},
    ),
    "words of labels": (
        "LabelEncoder", [INTS], {"keys_int64s": [1, 3], "values_strings": ["a", "b"]},
    ),
    "categories": ("CategoryMapper", [WORDS], {"cats_int64s": [1, 3], "cats_strings": ["a", "b"]}),
    "categories back": (
        "CategoryMapper", [INTS], {"cats_int64s": [1, 3], "cats_strings": ["a", "b"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALIKE)
def test_features_and_encoders(case: str) -> None:
    op, inputs, attributes = ALIKE[case]
    compiled = not any(x.dtype == object for x in inputs) and case not in (
        "one hot twice", "words of labels", "categories back",
    )  # fmt: skip
    assert bool(alike(op, inputs, **attributes)) is not compiled


@pytest.mark.parametrize("version", [1, 2])
def test_older_label_encoders(version: int) -> None:
    settings: dict[str, Any] = {"classes_strings": ["a", "b"]}
    if version == 2:
        settings = {"keys_strings": ["a", "b"], "values_int64s": [7, 8]}
    alike("LabelEncoder", [WORDS], version, **settings)


def test_the_last_of_equal_keys_counts() -> None:
    # As the standard says; ONNX Runtime takes the first.
    data = model("LabelEncoder", [INTS], keys_int64s=[1, 0, 1], values_int64s=[5, 6, 7])
    for provider in ("reference", "native"):
        assert ours(data, [INTS], provider)[0][0, 0] == 7


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, np.int16, np.int32])
def test_keys_of_any_number_and_type(count: int, dtype: Any, rng: Rng) -> None:
    from onnx import numpy_helper

    keys = rng.choice(np.arange(-300, 300), count, replace=False).astype(dtype)
    values = rng.integers(-99, 99, count).astype(np.int16)
    settings: dict[str, Any] = {"keys_tensor": numpy_helper.from_array(keys),
                "values_tensor": numpy_helper.from_array(values)}  # fmt: skip
    x = np.concatenate([keys, rng.integers(-300, 300, 50).astype(dtype)])
    data = model("LabelEncoder", [x], **settings)
    known = dict(zip(keys.tolist(), values.tolist(), strict=True))
    for provider in ("reference", "native"):
        assert ours(data, [x], provider)[0].tolist() == [known.get(e, -1) for e in x.tolist()]


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_norms(norm: str, rng: Rng) -> None:
    nan = np.array([[NAN, 1, 2], [0, 0, 0], [-1, -2, -3]], np.float32)
    for x in (rng.normal(size=(5, 7)).astype(np.float32), INTS, nan, X[1], X.astype(float)):
        assert not alike("Normalizer", [x], norm=norm)


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("targets", [1, 2])
def test_linear_regressors(post: str, targets: int) -> None:
    weights = [0.5, -0.25, 0.1, 0.2][: 2 * targets]
    assert not alike("LinearRegressor", [X], coefficients=weights, targets=targets,
                     intercepts=[0.1, 0.0][:targets], post_transform=post)  # fmt: skip


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize(("count", "labels"), [(1, [3, 5]), (2, [3, 5]), (3, [1, 2, 3])])
def test_linear_classifiers(post: str, count: int, labels: list[int]) -> None:
    if post == "PROBIT" and count == 1:
        pytest.skip("ONNX Runtime leaves the second score unwritten")
    weights = [0.5, -0.25, 0.1, 0.2, 0.3, 0.4][: 2 * count]
    settings: dict[str, Any] = {"coefficients": weights, "intercepts": [0.1, 0.0, 0.2][:count]}
    for x in (X, INTS, X.astype(float)):
        assert not alike("LinearClassifier", [x], classlabels_ints=labels,
                         post_transform=post, **settings)  # fmt: skip
    words = [str(n) for n in labels]
    found = alike("LinearClassifier", [X], classlabels_strings=words, **settings)
    assert found == ["Label"]


VECTORS: dict[str, Any] = {
    "support_vectors": [1.0, 0.0, 0.0, 1.0, -1.0, -1.0],
    "kernel_params": [0.5, 0.1, 2.0],
}


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("one", [0, 1])
def test_support_vector_regressors(kernel: str, one: int) -> None:
    assert not alike("SVMRegressor", [X], coefficients=[1.0, -0.5, 0.3], rho=[0.2], n_supports=3,
                     one_class=one, kernel_type=kernel, **VECTORS)  # fmt: skip


def test_a_linear_regressor_without_vectors() -> None:
    assert not alike("SVMRegressor", [X], coefficients=[1.0, -0.5], rho=[0.2], n_supports=0,
                     kernel_params=[0.0, 0.0, 0.0])  # fmt: skip


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("kernel", ["RBF", "POLY"])
def test_support_vector_classifiers(post: str, probability: bool, kernel: str) -> None:
    three: dict[str, Any] = {
        "coefficients": [1.0, -0.5, 0.3, 0.2, 0.1, -0.7],
        "rho": [0.2, 0.1, -0.1],
        "vectors_per_class": [1, 1, 1],
        "classlabels_ints": [5, 7, 9],
    }
    two: dict[str, Any] = {
        "coefficients": [1.0, -0.5, 0.3],
        "rho": [0.2],
        "vectors_per_class": [2, 1],
        "classlabels_ints": [5, 7],
    }
    for settings in (two, three):
        pairs = len(settings["rho"])
        if pairs == 1 and post == "PROBIT" and not probability:
            continue  # ONNX Runtime leaves the second score unwritten
        more: dict[str, Any] = {"kernel_type": kernel, "post_transform": post, **VECTORS}
        if probability:
            more.update(prob_a=[-1.0, -2.0, -0.5][:pairs], prob_b=[0.1, 0.0, 0.2][:pairs])
        found = alike("SVMClassifier", [X], **settings, **more)
        assert found == (["SVMClassifier"] if probability else [])


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_linear_support_vector_classifiers(post: str, count: int) -> None:
    weights = [1.0, -0.5, 0.3, 0.2, 0.1, -0.7][: 2 * count]
    alike("SVMClassifier", [X], coefficients=weights, rho=[0.2], kernel_params=[0.0, 0.0, 0.0],
          classlabels_ints=[5, 7, 9][:count], post_transform=post)  # fmt: skip


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "coefficients": ("LinearRegressor", {"coefficients": [1.0, 2.0, 3.0], "targets": 2}),
    "features": ("LinearRegressor", {"coefficients": [1.0, 2.0, 3.0]}),
    "targets": ("LinearRegressor", {"coefficients": [1.0], "targets": -1}),
    "intercepts": ("LinearRegressor", {"coefficients": [1.0, 2.0], "intercepts": [1.0, 2.0]}),
    "few labels": (
        "LinearClassifier",
        {"coefficients": [1.0] * 6, "intercepts": [0.0] * 3, "classlabels_ints": [1, 2]},
    ),
    "no labels": ("LinearClassifier", {"coefficients": [1.0] * 4}),
    "two kinds of labels": (
        "LinearClassifier",
        {"coefficients": [1.0] * 4, "classlabels_ints": [1], "classlabels_strings": ["a"]},
    ),
    "transform": ("LinearRegressor", {"coefficients": [1.0, 2.0], "post_transform": "x"}),
    "norm": ("Normalizer", {"norm": "L3"}),
    "scale": ("Scaler", {"scale": [1.0, 2.0, 3.0]}),
    "imputed": ("Imputer", {"imputed_value_int64s": [1]}),
    "imputed for columns": ("Imputer", {"imputed_value_floats": [1.0, 2.0, 3.0]}),
    "inputs": ("FeatureVectorizer", {"inputdimensions": [1, 2]}),
    "negative input": ("FeatureVectorizer", {"inputdimensions": [-1]}),
    "keys": ("LabelEncoder", {"values_int64s": [1]}),
    "keys and values": ("LabelEncoder", {"keys_floats": [1.0], "values_int64s": [1, 2]}),
    "keys of words": ("LabelEncoder", {"keys_strings": ["a"], "values_int64s": [1]}),
    "vectors": ("SVMRegressor", {"coefficients": [1.0], "rho": [0.0], "n_supports": 3}),
    "rho": ("SVMRegressor", {"coefficients": [1.0, 2.0]}),
    "kernel": ("SVMRegressor", {"coefficients": [1.0, 2.0], "rho": [0.0], "kernel_type": "K"}),
    "per class": (
        "SVMClassifier",
        {"coefficients": [1.0], "rho": [0.0], "vectors_per_class": [1 << 40, -1],
         "classlabels_ints": [1, 2]},
    ),
    "huge per class": (
        "SVMClassifier",
        {"coefficients": [1.0], "rho": [0.0], "vectors_per_class": [1 << 62, 1 << 62],
         "classlabels_ints": [1, 2], "support_vectors": [1.0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("provider", ["native", "reference"])
def test_bad_attributes_are_refused(case: str, provider: str) -> None:
    op, attributes = BAD[case]
    data = model(op, [X], **attributes)
    with pytest.raises(sx.SardonyxError) as caught:
        InferenceSession(data, providers=[provider]).run(None, {"x0": X})
    assert caught.value.code in ("E0341", "E0322", "E0323", "E0207")
    assert caught.value.code == "E0207" or caught.value.node == "the node"


@pytest.mark.parametrize("provider", ["native", "reference"])
def test_a_place_beyond_the_features_is_refused(provider: str) -> None:
    for place in (2, -1):
        inputs = [X, np.array([0, place])]
        data = model("ArrayFeatureExtractor", inputs)
        with pytest.raises(sx.SardonyxError) as caught:
            ours(data, inputs, provider)
        assert caught.value.code == "E0210"


@pytest.mark.parametrize("provider", ["native", "reference"])
def test_a_stranger_is_refused_where_zeros_may_not_stand_for_it(provider: str) -> None:
    data = model("OneHotEncoder", [INTS], cats_int64s=[1, 2], zeros=0)
    with pytest.raises(sx.SardonyxError, match="no category"):
        ours(data, [INTS], provider)


# Maps


def _map(key: int, value: int) -> Any:
    return helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, []))


def _mapped(op: str, given: Any, made: Any, **attributes: Any) -> bytes:
    node = helper.make_node(op, ["x"], ["y"], name="the node", domain=DOMAIN, **attributes)
    graph = helper.make_graph([node], "g", [given], [made])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(proto.SerializeToString())


def _both(data: bytes, x: Any) -> tuple[Any, Any, Any, Any]:
    theirs = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    mine = InferenceSession(data)
    return theirs.run(None, {"x": x})[0], mine.run(None, {"x": x})[0], theirs, mine


@pytest.mark.parametrize(
    "labels", [{"classlabels_int64s": [3, 5]}, {"classlabels_strings": ["a", "b"]}]
)
def test_rows_as_maps(labels: dict[str, Any]) -> None:
    key = TensorProto.STRING if "classlabels_strings" in labels else TensorProto.INT64
    made = helper.make_value_info("y", helper.make_sequence_type_proto(_map(key, 1)))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    wanted, found, theirs, mine = _both(_mapped("ZipMap", given, made, **labels), X)
    assert found == wanted
    assert [type(v) for v in found[0].values()] == [type(v) for v in wanted[0].values()]
    assert mine.get_outputs()[0].type == theirs.get_outputs()[0].type


KINDS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64,
         TensorProto.INT64: np.int64, TensorProto.STRING: object}  # fmt: skip
ZERO = {TensorProto.DOUBLE: 0.0, TensorProto.INT64: 0, TensorProto.STRING: ""}
VOCABULARIES: list[tuple[int, int, dict[str, Any], Any]] = [
    (TensorProto.STRING, TensorProto.FLOAT, {"string_vocabulary": list("acb")}, {"a": 1.0, "b": 2}),
    (TensorProto.STRING, TensorProto.INT64, {"string_vocabulary": list("acb")}, {"a": 1, "b": 2}),
    (TensorProto.INT64, TensorProto.FLOAT, {"int64_vocabulary": [7, 3]}, {3: 0.1}),
    (TensorProto.INT64, TensorProto.DOUBLE, {"int64_vocabulary": [7, 3]}, {3: 0.1, 7: 5.0}),
    (TensorProto.INT64, TensorProto.STRING, {"int64_vocabulary": [7, 3]}, {3: "x"}),
]


@pytest.mark.parametrize(("key", "value", "words", "x"), VOCABULARIES)
def test_maps_as_vectors(key: int, value: int, words: dict[str, Any], x: Any) -> None:
    given = helper.make_value_info("x", _map(key, value))
    made = helper.make_tensor_value_info("y", value, [1, "V"])
    data = _mapped("DictVectorizer", given, made, **words)
    (found,) = InferenceSession(data).run(None, {"x": x})
    (names,) = words.values()
    assert found.tolist() == [[np.float32(x.get(n, 0)) if value == 1 else x.get(n, 0) or ZERO[value]
                               for n in names]]  # fmt: skip
    assert found.dtype == KINDS[value]
    if (key, value) == (TensorProto.STRING, TensorProto.FLOAT):  # what ONNX Runtime can be fed
        wanted, again, theirs, mine = _both(data, x)
        assert again.tolist() == wanted.tolist()
        assert mine.get_inputs()[0].type == theirs.get_inputs()[0].type


@pytest.mark.parametrize("to", ["TO_FLOAT", "TO_INT64", "TO_STRING"])
@pytest.mark.parametrize("form", [{}, {"map_form": "SPARSE", "max_map": 6}])
def test_maps_as_lists(to: str, form: dict[str, Any]) -> None:
    kinds = {"TO_FLOAT": TensorProto.FLOAT, "TO_INT64": TensorProto.INT64}
    made = helper.make_tensor_value_info("y", kinds.get(to, TensorProto.STRING), [1, "V"])
    given = helper.make_value_info("x", _map(TensorProto.INT64, TensorProto.FLOAT))
    data = _mapped("CastMap", given, made, cast_to=to, **form)
    wanted, found, _, _ = _both(data, {5: 2.5, 1: -1.0})
    assert found.tolist() == wanted.tolist()
    assert found.dtype == wanted.dtype


@pytest.mark.parametrize("x", [3, [1], {"a": "b"}, {"a": [1, 2]}, {1: 2.0}])
def test_what_is_no_such_map_is_refused(x: Any) -> None:
    given = helper.make_value_info("x", _map(TensorProto.STRING, TensorProto.FLOAT))
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "V"])
    session = InferenceSession(_mapped("DictVectorizer", given, made, string_vocabulary=["a"]))
    with pytest.raises(sx.InvalidArgument):
        session.run(None, {"x": x})
