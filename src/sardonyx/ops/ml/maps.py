"""Maps from keys to numbers or strings: made of tables, and made tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import const
from sardonyx.core.limits import Limits
from sardonyx.graph.ir import Type
from sardonyx.ops.base.shapes import need_rank, refuse, same_dim, unknown_dim
from sardonyx.ops.ml.scores import Tabular, labels, one_of


def map_type(key: DType | None, value: DType | None) -> Type:
    """The type of a map from keys to scalars."""
    return Type(key, kind="map", elem=Type(value))


def _need_map(x: Type) -> None:
    if x.kind != "map" and x != Type():
        raise refuse("E0323", "the input is no map", x, "a map")


class ZipMap(Tabular):
    """The rows of a table as maps from class labels to numbers."""

    tolerance = "exact"
    classlabels_int64s: tuple[int, ...] | None = None
    classlabels_strings: tuple[str, ...] | None = None

    @property
    def keys(self) -> Array:
        """The class labels."""
        return labels(self.classlabels_int64s, self.classlabels_strings)

    def infer(self, x: Type) -> Type:
        need_rank(x, 1, 2, "X")
        keys = self.keys
        if x.shape is not None:
            same_dim(x.shape[-1], const(len(keys)))
        elem = map_type(DType.from_numpy(keys.dtype), DType.FLOAT32)
        return Type(kind="sequence", elem=elem)

    def reference(self, x: Array) -> Any:
        keys = self.keys.tolist()
        rows = x.reshape(-1, x.shape[-1])
        if rows.shape[1] != len(keys):
            raise InvalidArgument(
                "E0404", "there is not one column a label", given=rows.shape, wanted=len(keys)
            )
        return ([dict(zip(keys, row, strict=True)) for row in rows.tolist()],)


class DictVectorizer(Tabular):
    """The values of a map's keys in the order of a vocabulary, [1, words]; 0 where one is not."""

    tolerance = "exact"
    int64_vocabulary: tuple[int, ...] | None = None
    string_vocabulary: tuple[str, ...] | None = None

    def infer(self, x: Type) -> Type:
        _need_map(x)
        words = labels(self.int64_vocabulary, self.string_vocabulary)
        wanted = DType.from_numpy(words.dtype)
        if x.dtype not in (None, wanted):
            raise refuse("E0323", "the vocabulary is of another type", x.dtype, wanted)
        dtype = None if x.elem is None else x.elem.dtype
        return Type(dtype, (const(1), const(len(words))))

    def reference(self, x: Mapping[Any, Any]) -> Array:
        words = labels(self.int64_vocabulary, self.string_vocabulary).tolist()
        values = np.asarray(list(x.values())) if x else np.zeros(0, np.float32)
        if values.dtype.kind in "UO":
            return np.array([x.get(w, "") for w in words], object)[None]
        return np.array([x.get(w, 0) for w in words], values.dtype)[None]


class CastMap(Tabular):
    """The values of a map with integer keys, in the order of the keys or at their places."""

    tolerance = "exact"
    cast_to: str = "TO_FLOAT"
    map_form: str = "DENSE"
    max_map: int = 1

    @property
    def to(self) -> DType:
        """The type of the output."""
        kinds = {"TO_FLOAT": DType.FLOAT32, "TO_STRING": DType.STRING, "TO_INT64": DType.INT64}
        return kinds[one_of(self.cast_to, tuple(kinds), "cast_to")]

    def infer(self, x: Type) -> Type:
        _need_map(x)
        sparse = one_of(self.map_form, ("DENSE", "SPARSE"), "map_form") == "SPARSE"
        if sparse and self.max_map < 1:
            raise refuse("E0341", "`max_map` must be positive", self.max_map)
        return Type(self.to, (const(1), const(self.max_map) if sparse else unknown_dim("map")))

    def reference(self, x: Mapping[int, Any]) -> Array:
        made = {k: self._cast(x[k]) for k in sorted(x)}
        if self.map_form == "DENSE":
            return np.array([list(made.values())], self.to.numpy)
        wrong = [k for k in made if not 0 <= k < self.max_map]
        if wrong:
            wanted = f"0 … {self.max_map - 1}"
            raise InvalidArgument("E0404", "a key is out of range", given=wrong[0], wanted=wanted)
        Limits.current().check_tensor(self.to, (1, self.max_map))
        out = np.full((1, self.max_map), "0.f" if self.to.is_string else 0, self.to.numpy)
        for k, v in made.items():
            out[0, k] = v
        return out

    def _cast(self, v: Any) -> Any:
        if self.to.is_string:
            return v if isinstance(v, str) else f"{float(v):f}"
        return float(v) if self.to.is_float else int(float(v))
