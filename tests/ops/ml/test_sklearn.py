"""Models trained by scikit-learn and converted by skl2onnx: scikit-learn's own answers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

from sardonyx.session import InferenceSession

pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

Rng = np.random.Generator
FEATURES = 6


def _classifiers() -> dict[str, Callable[[], Any]]:
    from sklearn import ensemble, linear_model, naive_bayes, neural_network, svm, tree
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Binarizer, Normalizer, StandardScaler

    return {
        "logistic": linear_model.LogisticRegression,
        "decision tree": lambda: tree.DecisionTreeClassifier(max_depth=6),
        "random forest": lambda: ensemble.RandomForestClassifier(20, random_state=0),
        "extra trees": lambda: ensemble.ExtraTreesClassifier(20, max_depth=5, random_state=0),
        "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=12, random_state=0),
        "ada": lambda: ensemble.AdaBoostClassifier(n_estimators=6, random_state=0),
        "svc": svm.SVC,
        "svc linear": lambda: svm.SVC(kernel="linear"),
        "svc poly": lambda: svm.SVC(kernel="poly", coef0=1.0),
        "linear svc": svm.LinearSVC,
        "bayes": naive_bayes.GaussianNB,
        "network": lambda: neural_network.MLPClassifier((8,), max_iter=60, random_state=0),
        "scaled": lambda: make_pipeline(StandardScaler(), linear_model.LogisticRegression()),
        "normed": lambda: make_pipeline(Normalizer("l1"), svm.SVC()),
        "cut": lambda: make_pipeline(Binarizer(threshold=0.2), tree.DecisionTreeClassifier()),
    }


def _regressors() -> dict[str, Callable[[], Any]]:
    from sklearn import ensemble, linear_model, neighbors, svm, tree
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    return {
        "linear": linear_model.LinearRegression,
        "ridge": linear_model.Ridge,
        "tree": lambda: tree.DecisionTreeRegressor(max_depth=7),
        "random forest": lambda: ensemble.RandomForestRegressor(20, random_state=0),
        "boosting": lambda: ensemble.GradientBoostingRegressor(n_estimators=15, random_state=0),
        "svr": svm.SVR,
        "neighbours": lambda: neighbors.KNeighborsRegressor(3),
        "polynomial": lambda: make_pipeline(PolynomialFeatures(2), linear_model.Ridge()),
    }


def _data(rng: Rng, classes: int) -> tuple[Any, Any]:
    x = rng.normal(size=(160, FEATURES)).astype(np.float32)
    turned = x @ rng.normal(size=(FEATURES, classes)) + np.sin(3 * x[:, :classes])
    return x, turned.argmax(1)


def _converted(model: Any, x: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(skl2onnx.to_onnx(model, x[:1]).SerializeToString())


def _fitted(model: Any, x: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


def _peer(data: bytes, feeds: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several add up in another order, so that ties differ
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def _clear(model: Any, x: Any) -> Any:
    """The rows in which one class is visibly the most probable."""
    if not hasattr(model, "predict_proba"):
        return np.ones(len(x), bool)
    best = np.sort(model.predict_proba(x), axis=1)
    return best[:, -1] - best[:, -2] > 1e-5


@pytest.mark.parametrize("name", _classifiers())
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("words", [False, True])
def test_classifiers(name: str, classes: int, words: bool, rng: Rng) -> None:
    x, y = _data(rng, classes)
    y = np.array([f"class {n}" for n in range(classes)])[y] if words else y + 3
    model = _fitted(_classifiers()[name](), x[:120], y[:120])
    data = _converted(model, x)
    session = InferenceSession(data)
    label, scores = session.run(None, {"X": x})
    wanted, theirs = _peer(data, {"X": x})
    assert label.tolist() == wanted.tolist()
    for mine, their in zip(scores, theirs, strict=True):
        if not isinstance(mine, dict):
            np.testing.assert_allclose(mine, their, 1e-4, 1e-5)
            continue
        assert mine.keys() == their.keys()
        np.testing.assert_allclose(list(mine.values()), list(their.values()), 1e-4, 1e-5)
    clear = _clear(model, x)
    assert label[clear].tolist() == model.predict(x)[clear].tolist()
    if hasattr(model, "predict_proba") and isinstance(scores[0], dict):
        made = np.array([[row[c] for c in model.classes_] for row in scores])
        np.testing.assert_allclose(made, model.predict_proba(x), 1e-3, 1e-4)


@pytest.mark.parametrize("name", _regressors())
def test_regressors(name: str, rng: Rng) -> None:
    x = rng.normal(size=(160, FEATURES)).astype(np.float32)
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    model = _fitted(_regressors()[name](), x[:120], y[:120])
    session = InferenceSession(_converted(model, x))
    (found,) = session.run(None, {"X": x})
    np.testing.assert_allclose(found.ravel(), model.predict(x), 1e-4, 1e-4)


def test_probabilities_of_support_vectors(rng: Rng) -> None:
    from sklearn.svm import SVC

    for classes in (2, 3):
        x, y = _data(rng, classes)
        data = _converted(_fitted(SVC(probability=True, random_state=0), x, y), x)
        label, scores = InferenceSession(data).run(None, {"X": x})
        wanted, theirs = _peer(data, {"X": x})
        assert label.tolist() == wanted.tolist()
        made, peers = ([list(row.values()) for row in rows] for rows in (scores, theirs))
        np.testing.assert_allclose(made, peers, 1e-4, 1e-5)


def test_a_pipeline_of_columns(rng: Rng) -> None:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = rng.normal(size=(120, 3)).astype(np.float32)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    words = rng.choice(["red", "green", "blue"], (120, 1)).astype(object)
    table = np.concatenate([numbers.astype(object), words], axis=1)
    y = (words[:, 0] == "red") | (np.nan_to_num(numbers[:, 0]) > 0.5)
    parts = [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2]),
        ("words", OneHotEncoder(handle_unknown="ignore"), [3]),
    ]
    forest = RandomForestClassifier(10, max_depth=4, random_state=0)
    model = make_pipeline(ColumnTransformer(parts), forest).fit(table, y.astype(int))
    kinds = [("numbers", FloatTensorType([None, 3])), ("words", StringTensorType([None, 1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = skl2onnx.convert_sklearn(model, initial_types=kinds, options={"zipmap": False})
    session = InferenceSession(made.SerializeToString())
    label, scores = session.run(None, {"numbers": numbers, "words": words})
    clear = _clear(model, table)
    assert label[clear].tolist() == model.predict(table)[clear].tolist()
    np.testing.assert_allclose(scores, model.predict_proba(table), 1e-4, 1e-5)
