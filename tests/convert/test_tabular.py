"""Models of scikit-learn, converted without a word about their inputs."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.convert import Conversion, convert, replay
from sardonyx.core.errors import ConvertError

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn import cluster, ensemble, linear_model, preprocessing, svm, tree
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline

X, Y = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype(np.float32)
NAMES = np.array(["ant", "bee", "cat"])[Y]

MODELS = {
    "logistic": linear_model.LogisticRegression(),
    "pipeline": make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    "tree": tree.DecisionTreeClassifier(max_depth=5, random_state=0),
    "forest": ensemble.RandomForestClassifier(8, max_depth=4, random_state=0),
    "svm": svm.LinearSVC(random_state=0),
    "ridge": linear_model.Ridge(),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=8, random_state=0),
    "scaler": preprocessing.StandardScaler(),
    "clusters": cluster.KMeans(3, n_init=1, random_state=0),
}


def _kept(model: Any, path: Path, **settings: Any) -> Conversion:
    made = convert(model, None, path, **settings)
    assert made.agree
    for provider in ("CPUExecutionProvider", "onnxruntime"):
        found = replay(sx.load(path), provider)
        assert found.agree, "\n".join(found.lines())
    return made


@pytest.mark.parametrize("name", MODELS)
def test_an_estimator_needs_no_inputs(name: str, tmp_path: Path) -> None:
    made = _kept(MODELS[name].fit(X, Y), tmp_path / "net.onnx")
    assert [str(v.type) for v in made.graph.inputs] == ["float32[N,6]"]


@pytest.mark.parametrize(
    "model", [svm.LinearSVC(random_state=0), linear_model.SGDClassifier(random_state=0)]
)
def test_scores_of_two_classes(model: Any, tmp_path: Path) -> None:
    made = _kept(model.fit(X, Y > 0), tmp_path / "net.onnx")
    assert [v.name for v in made.graph.outputs] == ["label", "scores"]


def test_labels_of_text(tmp_path: Path) -> None:
    model = linear_model.LogisticRegression().fit(X, NAMES)
    made = _kept(model, tmp_path / "net.onnx")
    assert [v.name for v in made.graph.outputs] == ["label", "probabilities"]


@pytest.mark.parametrize("name", ["tree", "forest", "boosting"])
def test_trees_are_compared_at_their_thresholds(name: str, tmp_path: Path) -> None:
    made = _kept(MODELS[name].fit(X, Y), tmp_path / "net.onnx")
    assert any("thresholds" in row.at for row in made.comparison.rows)


def test_categories_become_text_inputs(tmp_path: Path) -> None:
    table = np.array([["red", "red"], ["blue", "blue"], ["red", "blue"]], object)
    encoder = preprocessing.OneHotEncoder(handle_unknown="ignore").fit(table)
    made = _kept(encoder, tmp_path / "net.onnx")
    assert [str(v.type) for v in made.graph.inputs] == ["string[N,2]"]


def test_named_columns_become_inputs(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer

    colours = np.array(["red", "blue"] * 100)
    rows = pd.DataFrame({"age": X[:, 0], "colour": colours, "size": X[:, 1], "unused": X[:, 2]})
    columns = ColumnTransformer(
        [
            ("numbers", preprocessing.StandardScaler(), ["age", "size"]),
            ("colours", preprocessing.OneHotEncoder(), ["colour"]),
        ]
    )
    model = make_pipeline(columns, linear_model.LogisticRegression()).fit(rows, Y)
    made = _kept(model, tmp_path / "net.onnx")
    assert [v.name for v in made.graph.inputs] == ["age", "colour", "size"]


def test_a_pickle_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(MODELS["logistic"].fit(X, Y)))
    with pytest.raises(ConvertError, match="runs code") as caught:
        convert(path, None, tmp_path / "net.onnx")
    assert caught.value.code == "E0610"
    _kept(path, tmp_path / "net.onnx", trust=True)


def test_an_estimator_that_was_not_fitted() -> None:
    with pytest.raises(ConvertError, match="fitted") as caught:
        convert(linear_model.Ridge())
    assert caught.value.code == "E0608"


def test_a_clustering_that_cannot_predict() -> None:
    with pytest.raises(ConvertError, match="neither predicts nor transforms") as caught:
        convert(cluster.DBSCAN().fit(X))
    assert caught.value.code == "E0608"
