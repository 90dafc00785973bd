"""scikit-learn: estimators and pipelines, and pickles of them, by skl2onnx."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.convert.exporters import fitted, short
from sardonyx.convert.place import origin
from sardonyx.convert.source import (
    Exported,
    Feeds,
    Framework,
    Input,
    Request,
    Source,
    Trial,
    comes_from,
)
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import ConvertError, RuntimeException

_ROWS = 4096  # of a trial of thresholds: enough for most forests, and small in a contract


class SklearnFramework(Framework):
    """scikit-learn; .joblib and .pkl are programs."""

    name = "scikit-learn"
    suffixes = (".joblib", ".pkl")
    packages = ("sklearn", "skl2onnx")
    extra = "sklearn"
    controls = frozenset({"opset"})
    pickled = (".joblib", ".pkl")

    def match(self, model: object) -> bool:
        return comes_from(model, "sklearn") and hasattr(model, "fit")

    def load(self, path: Path) -> Any:
        import joblib

        try:
            return joblib.load(path)
        except Exception as problem:
            said = f"`{path}` cannot be loaded: {short(problem)}"
            raise ConvertError("E0601", said, file=str(path), source=origin(problem)) from problem

    def source(self, model: Any, request: Request) -> Source:
        return SklearnSource(model, request)


class SklearnSource(Source):
    """A fitted estimator: its inputs are one matrix, or the named columns that it selects from.

    `_pairs` says that the export has a score for each of two classes, where scikit-learn has one
    whose sign decides.
    """

    framework = "scikit-learn"

    def __init__(self, model: Any, request: Request) -> None:
        self.model, self.request = model, request
        self.table = _selector(model)
        self._pairs = False
        self.inputs = fitted(_inputs(model, self.table), request)
        self.methods = dict(self._outputs())
        self.columns = _columns(self.table) if self.table is not None else ()
        if self.columns and importlib.util.find_spec("pandas") is None:
            said = "the model selects columns by name, which needs the package pandas"
            raise ConvertError("E0607", said, hint="pip install pandas")

    def run(self, feeds: Feeds) -> Mapping[str, Any]:
        rows = self._rows(feeds)
        try:
            return {name: _plain(self._call(method, rows)) for name, method in self.methods.items()}
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in feeds.items())
            said = f"scikit-learn cannot run the model on {shapes}: {short(problem)}"
            raise RuntimeException("E0604", said, hint="give sizes that suit it") from problem

    def _rows(self, feeds: Feeds) -> Any:
        """What the estimator takes: a matrix, or a table of columns."""
        given = list(feeds.values())
        if not self.columns:
            return given[0]
        import pandas as pd

        return pd.DataFrame({n: x[:, 0] for n, x in zip(self.columns, given, strict=True)})

    def _call(self, method: str, rows: Any) -> Any:
        found = getattr(self.model, method)(rows)
        found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
        if found.ndim > 1 or not self._is_matrix(method):
            return found
        column = found.reshape(-1, 1)
        two = self._pairs and method == "decision_function"
        return np.hstack([-column, column]) if two else column

    def _is_matrix(self, method: str) -> bool:
        """Whether ONNX has a column where scikit-learn has a vector."""
        from sklearn.base import is_classifier, is_outlier_detector, is_regressor

        if method == "decision_function" or is_outlier_detector(self.model):
            return True
        mixture = hasattr(self.model, "predict_proba") and not is_classifier(self.model)
        return method == "predict" and bool(is_regressor(self.model) or mixture)

    def _outputs(self) -> Iterator[tuple[str, str]]:
        """Outputs of the ONNX model in order, with the methods that compute them."""
        from sklearn.base import is_clusterer, is_regressor

        has = {m for m in _METHODS if hasattr(self.model, m)}
        if "predict" not in has:
            if "transform" not in has:
                raise _unknown(self.model, "it neither predicts nor transforms new rows")
            yield "transformed", "transform"
            return
        yield ("value" if is_regressor(self.model) else "label"), "predict"
        if is_regressor(self.model):
            return
        if "predict_proba" in has:
            yield "probabilities", "predict_proba"
        elif "decision_function" in has:
            yield "scores", "decision_function"
        elif is_clusterer(self.model) and "transform" in has:
            yield "distances", "transform"

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        del folder, sizes
        from skl2onnx import __max_supported_opset__, to_onnx

        kinds = [(i.name, _onnx_type(i)) for i in self.inputs]
        names = tuple(self.methods)
        opset = self.request.controls.opset or __max_supported_opset__
        # The newest of ai.onnx.ml that all of its converters can write.
        target = {"": opset, "ai.onnx.ml": 3}
        options = {"zipmap": False} if _has_zipmap(self.model) else None
        try:
            made = to_onnx(self.model, initial_types=kinds, target_opset=target, options=options)
        except Exception as problem:
            said = f"skl2onnx failed: {short(problem)}"
            raise ConvertError("E0602", said, source=origin(problem)) from problem
        shapes = {v.name: v.type.tensor_type.shape.dim for v in made.graph.output}
        last = made.graph.output[-1].name
        self._pairs = len(shapes[last]) == 2 and shapes[last][1].dim_value == 2
        return Exported(bytes(made.SerializeToString()), outputs=names)

    def provenance(self) -> dict[str, str]:
        import skl2onnx
        import sklearn

        return {
            "scikit-learn": sklearn.__version__,
            "skl2onnx": skl2onnx.__version__,
            "class": type(self.model).__name__,
        }

    def trials(self) -> Iterable[Trial]:
        """The thresholds of trees, one unit in the last place below and above, and themselves."""
        one = self.inputs[0]
        if len(self.inputs) > 1 or one.dtype != DType.FLOAT32:
            return
        splits = sorted({split for tree in _trees(self.model) for split in _splits(tree)})
        if splits:
            yield Trial("thresholds ± 1 ulp", {one.name: _boundary(splits, int(one.dims[1]))})


_METHODS = ("predict", "predict_proba", "decision_function", "transform")


def _inputs(model: Any, table: Any) -> list[Input]:
    if getattr(model, "n_features_in_", None) is None:
        raise _unknown(model, "it does not say how many features it was fitted on")
    if table is None:
        values = _categories(_first(model))
        kinds = {type(v) for column in values for v in column}
        if kinds and kinds <= {str}:
            common = tuple(v for v in values[0] if all(v in column for column in values))
            return [Input("X", ("N", model.n_features_in_), DType.STRING, common)]
        return [Input("X", ("N", model.n_features_in_))]
    held = _column_categories(table)
    return [_column(name, held.get(name, ())) for name in _columns(table)]


def _column(name: str, values: Sequence[Any]) -> Input:
    if values and all(isinstance(v, str) for v in values):
        return Input(name, ("N", 1), DType.STRING, tuple(values))
    return Input(name, ("N", 1), DType.FLOAT32, tuple(float(v) for v in values))


def _first(model: Any) -> Any:
    """The step that sees the inputs as they are."""
    while hasattr(model, "steps"):
        model = next((step for _, step in model.steps if hasattr(step, "fit")), None)
    return model


def _selector(model: Any) -> Any:
    """The ColumnTransformer that selects columns by name, where that is the first step."""
    first = _first(model)
    chosen = getattr(first, "transformers_", ())
    named = any(isinstance(c, str) for _, _, columns in chosen for c in np.atleast_1d(columns))
    return first if named else None


def _columns(table: Any) -> tuple[str, ...]:
    """The columns that it uses, in the order of the table that it was fitted on."""
    used = {n for _, step, chosen in table.transformers_ if not _is_drop(step)
            for n in _names(table, chosen)}  # fmt: skip
    return tuple(str(n) for n in table.feature_names_in_ if n in used)


def _is_drop(step: Any) -> bool:
    return isinstance(step, str) and step == "drop"


def _names(table: Any, chosen: Any) -> list[str]:
    if isinstance(chosen, slice):
        return [str(n) for n in table.feature_names_in_[chosen]]
    own = table.feature_names_in_
    return [c if isinstance(c, str) else str(own[c]) for c in np.atleast_1d(chosen)]


def _column_categories(table: Any) -> dict[str, Sequence[Any]]:
    held: dict[str, Sequence[Any]] = {}
    for _, step, chosen in table.transformers_:
        steps = [s for _, s in step.steps] if hasattr(step, "steps") else [step]
        known = next((c for c in map(_categories, steps) if c), [])
        held |= dict(zip(_names(table, chosen), known, strict=False))
    return held


def _categories(encoder: Any) -> list[list[Any]]:
    """The values of each column that an encoder knows; none for what is no encoder."""
    known = getattr(encoder, "categories_", None)
    return [] if known is None else [np.asarray(c).tolist() for c in known]


def _trees(model: Any) -> Iterator[Any]:
    """The trees that a model of them is made of; none for what is no such model."""
    if hasattr(model, "tree_"):
        yield model.tree_
    elif hasattr(model, "estimators_"):
        for one in np.asarray(model.estimators_, object).reshape(-1):
            yield from _trees(one)


def _splits(tree: Any) -> Iterator[tuple[int, float]]:
    for feature, threshold in zip(tree.feature, tree.threshold, strict=True):
        if feature >= 0:
            yield int(feature), float(threshold)


def _boundary(splits: Sequence[tuple[int, float]], width: int) -> Array:
    """Rows that are at a split in one feature, and at the last split of every other feature."""
    base = np.zeros(width, np.float32)
    for feature, threshold in splits:
        base[feature] = threshold
    step = -(-3 * len(splits) // _ROWS)
    rows = []
    for feature, threshold in splits[::step]:
        at = np.float32(threshold)
        for x in (np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))):
            row = base.copy()
            row[feature] = x
            rows.append(row)
    return np.stack(rows)


def _plain(x: Array) -> Array:
    """Text as objects, numbers in the types of the ONNX model."""
    if x.dtype.kind in "OUS":
        return np.asarray(x, object)
    return x.astype(np.float32) if x.dtype.kind == "f" else x.astype(np.int64)


def _has_zipmap(model: Any) -> bool:
    """Whether skl2onnx would write the scores as a sequence of maps, which its option prevents."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter

    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    alias = sklearn_operator_name_map.get(type(model))
    if alias is None:
        return False
    return "zipmap" in (get_converter(alias).get_allowed_options() or ())


def _onnx_type(one: Input) -> Any:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    kind = StringTensorType if one.dtype.is_string else FloatTensorType
    return kind([None if isinstance(d, str) else d for d in one.dims])


def _unknown(model: Any, why: str) -> ConvertError:
    return ConvertError(
        "E0608", f"{type(model).__name__} cannot be converted: {why}",
        hint="fit it before it is saved; one with `predict` or `transform` can be converted",
    )  # fmt: skip


FRAMEWORK = SklearnFramework()
