"""Steps of ai.onnx.ml: tables scaled, encoded and scored by linear models, vectors and trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from fuzz.grow import OPSET, Grower, Skip, is_float, is_int, known, rank
from ops.ml.forests import MODES, Trees
from sardonyx.core.dtype import DType
from sardonyx.core.tensor import Tensor
from sardonyx.graph.check import LATEST
from sardonyx.graph.ir import Value
from sardonyx.graph.op import find

DOMAIN = "ai.onnx.ml"
TRANSFORMS = ("NONE", "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
KERNELS = ("LINEAR", "RBF", "POLY", "SIGMOID")


def emit(g: Grower, kind: str, *inputs: Value, outputs: int = 1, **settings: Any) -> Value:
    """The first output of a new node of ai.onnx.ml."""
    found = find(DOMAIN, kind, OPSET)
    assert found is not None, kind
    g.outermost.opsets[DOMAIN] = LATEST[DOMAIN]
    given = {name: _attribute(x) for name, x in settings.items()}
    return g.attach(found(outputs=outputs, **given), inputs, outputs)


def _attribute(x: Any) -> Any:
    if isinstance(x, TensorProto):
        return Tensor.of(numpy_helper.to_array(x))
    return tuple(x) if isinstance(x, list) else x


def table(g: Grower) -> tuple[Value, int]:
    """A table of numbers, and how many columns it has."""
    x = g.pick(lambda v: rank(v) == 2 and v.dtype in (DType.FLOAT32, DType.FLOAT64, DType.INT64))
    return x, known(x, 1)


def floats(g: Grower, count: int) -> list[float]:
    """As many numbers of float32."""
    return [float(x) for x in g.rng.standard_normal(count).astype(np.float32)]


def labels(g: Grower, count: int, whole: str = "ints") -> dict[str, Any]:
    """The names of classes: integers, or strings, which nothing else reads."""
    if g.maybe(0.7):
        return {f"classlabels_{whole}": [3 * n - 2 for n in range(count)]}
    return {"classlabels_strings": [f"c{n}" for n in range(count)]}


def feature(g: Grower) -> None:
    """A table scaled, cut at a threshold, normalised or with numbers replaced."""
    x, columns = table(g)
    count = g.one(1, columns)
    kind = g.one("Scaler", "Binarizer", "Normalizer", "Imputer")
    if kind == "Scaler":
        emit(g, kind, x, offset=floats(g, count), scale=floats(g, count))
    elif kind == "Binarizer":
        emit(g, kind, x, threshold=floats(g, 1)[0])
    elif kind == "Normalizer":
        emit(g, kind, x, norm=g.one("MAX", "L1", "L2"))
    elif is_int(x):
        values = [int(n) for n in g.rng.integers(-9, 10, count)]
        emit(g, kind, x, imputed_value_int64s=values, replaced_value_int64=g.below(-2, 3))
    else:
        old = g.one(0.0, 0.5, float("nan"))
        emit(g, kind, x, imputed_value_floats=floats(g, count), replaced_value_float=old)


def choose(g: Grower) -> None:
    """Columns of a table, or tables side by side."""
    x, columns = table(g)
    if g.maybe(0.5):
        places = g.rng.integers(0, columns, g.below(1, 5))
        emit(g, "ArrayFeatureExtractor", x, g.const(places))
        return

    def fits(v: Value) -> bool:
        return rank(v) == 2 and v.dtype is x.dtype and v.type.dims[0] is x.type.dims[0]

    parts = [x, *(g.pick(fits) for _ in range(g.below(0, 3)))]
    widths = [max(1, known(v, 1) + g.one(0, 0, 1, -1)) for v in parts]
    emit(g, "FeatureVectorizer", *parts, inputdimensions=widths)


def encode(g: Grower) -> None:
    """Whole numbers looked up, or told apart by columns of their own."""
    x = g.pick(lambda v: v.dtype is DType.INT64)
    keys = [int(n) for n in g.rng.permutation(19)[: g.below(1, 8)] - 9]
    if g.maybe(0.4):
        emit(g, "OneHotEncoder", x, cats_int64s=keys)
    elif g.maybe(0.3):
        names = [f"t{n % 5}" for n in range(len(keys))]
        texts = emit(g, "LabelEncoder", x, keys_int64s=keys, values_strings=names)
        emit(g, "LabelEncoder", texts, keys_strings=sorted(set(names)),
             values_int64s=list(range(len(set(names)))))  # fmt: skip
    else:
        emit(g, "LabelEncoder", x, keys_int64s=keys, values_floats=floats(g, len(keys)))


def linear(g: Grower) -> None:
    """A linear model of targets or classes."""
    x, columns = table(g)
    count = g.below(1, 5)
    settings: dict[str, Any] = {"post_transform": g.one(*TRANSFORMS)}
    settings["coefficients"] = floats(g, count * columns)
    if g.maybe(0.7):
        settings["intercepts"] = floats(g, count)
    if g.maybe(0.5):
        emit(g, "LinearRegressor", x, targets=count, **settings)
        return
    named = labels(g, 2 if count == 1 and "intercepts" in settings else count)
    emit(g, "LinearClassifier", x, outputs=2, **settings, **named)


def vectors(g: Grower) -> None:
    """A model of support vectors."""
    x, columns = table(g)
    kind = g.one(*KERNELS)
    settings: dict[str, Any] = {"kernel_type": kind, "kernel_params": [0.25, 0.5, 2.0]}
    if g.maybe(0.5):
        count = g.below(1, 6)
        settings |= {"n_supports": count, "coefficients": floats(g, count), "rho": floats(g, 1)}
        settings["support_vectors"] = floats(g, count * columns)
        emit(g, "SVMRegressor", x, one_class=g.below(0, 2), **settings)
        return
    each = [g.below(1, 4) for _ in range(g.below(2, 4))]
    classes, count = len(each), sum(each)
    pairs = classes * (classes - 1) // 2
    settings |= {"vectors_per_class": each, "rho": floats(g, pairs)}
    settings["coefficients"] = floats(g, (classes - 1) * count)
    settings["support_vectors"] = floats(g, count * columns)
    if g.maybe(0.4):
        settings |= {"prob_a": floats(g, pairs), "prob_b": floats(g, pairs)}
    emit(g, "SVMClassifier", x, outputs=2, **settings, **labels(g, classes))


def trees(g: Grower) -> None:
    """A few trees, written as lists of nodes or as arrays."""
    x, columns = table(g)
    modes = MODES if g.maybe(0.3) else (g.one(*MODES[:4]),)
    grown = Trees(g.rng, g.below(1, 6), g.below(1, 5), columns, modes=modes, missing=g.maybe(0.2))
    targets, kind = g.below(1, 4), g.one("TreeEnsembleRegressor", "Classifier", "TreeEnsemble")
    if kind == "TreeEnsemble":
        if not is_float(x) or any(nodes[0]["mode"] == "LEAF" for nodes in grown.trees):
            raise Skip
        dtype = np.float32 if x.dtype is DType.FLOAT32 else np.float64
        emit(g, kind, x, **grown.arrays(targets, dtype, members=g.maybe(0.2)))
        return
    after = g.one(*TRANSFORMS)
    if kind == "TreeEnsembleRegressor":
        settings = grown.listed("target", targets, each=g.maybe(0.4))
        how = g.one("SUM", "MIN", "MAX", "AVERAGE")
        settings |= {"n_targets": targets, "aggregate_function": how, "post_transform": after}
        emit(g, kind, x, **settings)
        return
    settings = grown.listed("class", targets, each=g.maybe(0.4), sign=g.maybe(0.5))
    named = labels(g, max(targets, 2), "int64s")
    emit(g, "TreeEnsembleClassifier", x, outputs=2, post_transform=after, **settings, **named)


STEPS = (feature, feature, choose, encode, linear, vectors, trees, trees)
