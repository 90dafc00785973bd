"""A trained model as the converter sees it, and what a framework must say to be one.

    Framework   what it recognises (an object, a file) and how to load it   one object per framework
    Source      a loaded model: inputs, run, export, provenance             one object per model

**A framework is one file in `convert/sources/`** that holds a `Framework` by the name FRAMEWORK;
there is no list to edit. The file imports its framework inside functions only, since every file is
imported to ask what it recognises. A small one:

    class Scaler(Source):
        framework = "Scaler"

        def __init__(self, model, request):
            self.model = model
            self.inputs = [Input("x", ("N", len(model.scale)), DType.FLOAT32)]

        def run(self, feeds):                       # what the framework itself computes
            return {"y": feeds["x"] * self.model.scale}

        def export(self, folder, sizes):            # by the framework's maintained exporter
            return Exported(to_onnx(self.model).SerializeToString())

    class ScalerFramework(Framework):
        name = "Scaler"
        suffixes = (".scaler",)
        packages = ("scaler", "scaler_onnx")        # must be importable, else E0607 with `extra`
        extra = "scaler"                            # pip install 'sardonyx[scaler]'
        controls = frozenset({"opset"})             # of `Controls`; others are refused (E0612)
        pickled = (".scaler",)                      # these run code: E0610 without --trust

        def match(self, model):
            return comes_from(model, "scaler")

        def load(self, path):
            import scaler
            return scaler.load(path)

        def source(self, model, request):
            return Scaler(model, request)

    FRAMEWORK = ScalerFramework()

`convert` does the rest for all of them: it makes inputs up (`Source.sample`), tries sizes, checks
what was exported, compares it with `run` on example, random and edge inputs and on those of
`Source.trials`, writes the evidence into the model, and runs a framework with an `environment` in
an interpreter of its own. A model that the source refuses to run on some sizes raises
RuntimeException (E0604) from `run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from sardonyx.convert.recipe import Recipe, recipe_of
from sardonyx.core.dim import Spec
from sardonyx.core.dtype import Array, DType
from sardonyx.graph.ir import Graph

Feeds: TypeAlias = Mapping[str, Any]
Outputs: TypeAlias = "Mapping[str, Any] | Sequence[Any]"
Sample: TypeAlias = "Array | Recipe"


@dataclass(frozen=True)
class Input:
    """One input: its name in the ONNX model, dims (numbers, and names for any size), and dtype.

    `values` are those that an element may have, where not any will do (categories, token ids);
    made-up inputs are drawn from them. `missing` says that NaN stands for no value.
    """

    name: str
    dims: tuple[int | str, ...]
    dtype: DType = DType.FLOAT32
    values: tuple[Any, ...] = ()
    missing: bool = False

    @classmethod
    def of(cls, spec: Spec) -> Input:
        """The input that a shape such as `ids=NxS:int64` describes."""
        return cls(spec.name, spec.dims, spec.dtype or DType.FLOAT32)

    @property
    def spec(self) -> Spec:
        """Its shape in the grammar of `core.dim`."""
        return Spec(self.name, self.dims, self.dtype)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of its dims that may have any size, in order, each once."""
        return self.spec.symbols


@dataclass(frozen=True)
class Controls:
    """How an exporter is to work; None and () leave it to the exporter. CLI: `--capture` and so on.

    `opset`: of the standard. `capture`: export, trace or script. `training`: dropout and batch
    norms stay trainable. `fold`: whether constants are folded. `parameters`: inside the file,
    outside (external data) or inputs of the model. `output_names`: in the order of the outputs.
    `functions`: classes of modules that stay functions. `translations`: how to say operators, a
    mapping of a framework's operator to a function in onnxscript. `exact`: whether a model of trees
    takes the branches that its float64 source takes.
    """

    opset: int | None = None
    capture: str | None = None
    training: bool | None = None
    fold: bool | None = None
    parameters: str | None = None
    output_names: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    translations: Any = None
    exact: bool | None = None

    def given(self) -> list[str]:
        """The names of those that are not left to the exporter."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return [name for name, value in values if value not in (None, ())]


@dataclass(frozen=True)
class Request:
    """What the user says of a model to convert.

    `specs`: shapes of inputs, in order, where they are given. `example`: (positional, by keyword)
    example inputs instead, as the model takes them, with `dynamic` dims by input name. `data`:
    rows by column or input name. `sizes`: of symbols, as a number (an example) or as a range.
    """

    specs: tuple[Spec, ...] = ()
    example: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
    dynamic: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Array] | None = None
    sizes: Mapping[str, int | range] = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls)


@dataclass(frozen=True)
class Remark:
    """What a reader of the model should know of its export: an operator that draws at random, a
    branch that was frozen. `source` is the user's own line, `remedy` what to do about it.
    """

    kind: str
    text: str
    source: str | None = None
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class Fixed:
    """A condition on sizes that the export took for granted, such as `s77 <= 4`: the (input, axis)
    pairs that it is about, and the user's own line that asked for it.
    """

    condition: str
    source: str
    axes: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Exported:
    """What an exporter made: ONNX as bytes, or a file in the folder that it was given. `remarks`
    are what it alone knows, `fixed` what it took for granted about sizes, `outputs` names for the
    outputs where the exporter has none worth keeping.
    """

    model: bytes | Path
    remarks: Sequence[Remark] = ()
    fixed: Sequence[Fixed] = ()
    outputs: Sequence[str] = ()


@dataclass(frozen=True)
class Trial:
    """Inputs to compare on: what they are called, and whether the source may refuse them."""

    name: str
    inputs: Mapping[str, Sample]
    made_up: bool = True

    @property
    def feeds(self) -> dict[str, Array]:
        """The arrays themselves."""
        return {n: x.array() if isinstance(x, Recipe) else x for n, x in self.inputs.items()}


class Source(ABC):
    """A trained model, loaded, with the inputs that it is converted for; `preferred` are sizes of
    their symbols that it is known to take.
    """

    framework: ClassVar[str]
    inputs: Sequence[Input]
    preferred: Mapping[str, int] = MappingProxyType({})

    @abstractmethod
    def run(self, feeds: Feeds) -> Outputs:
        """What the framework computes; RuntimeException (E0604) where it cannot run."""

    @abstractmethod
    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        """ONNX with the inputs and symbols of `inputs`; ConvertError (E0602) with the exporter's
        words. `sizes` are example sizes of the symbols that `run` was found to take.
        """

    def provenance(self) -> dict[str, str]:
        """What made the model: versions by package, and where it is defined."""
        return {}

    def exact(self, feeds: Feeds) -> Outputs | None:
        """What `run` computes, in float64; None where it cannot."""
        del feeds
        return None

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Sample]:
        """Made-up inputs of these sizes."""
        return dict(self.recipes(sizes, seed))

    def recipes(self, sizes: Mapping[str, int], seed: int) -> dict[str, Recipe]:
        """What suits the types of the inputs."""
        return {
            i.name: recipe_of(i.dtype, i.spec.shape(sizes), seed * 64 + n, i.values)
            for n, i in enumerate(self.inputs)
        }

    def trials(self) -> Iterable[Trial]:
        """Inputs of its own that a faithful model must also answer, such as thresholds ± 1 ulp."""
        return ()

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Gives back what the source holds besides memory."""

    def prove(self, graph: Graph) -> Sequence[Remark]:
        """What it can show beyond equal outputs; Disagreement (E0605) where that fails."""
        del graph
        return ()


class Framework(ABC):
    """What makes models of one kind; see the module's own words for how to write one.

    `environment` are pinned requirements: where there are any, models in files and places run in an
    interpreter of their own that has them, unless they are to run in this process. `pickled` are
    the suffixes of files that run code when they are loaded.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    environment: ClassVar[tuple[str, ...]] = ()
    controls: ClassVar[frozenset[str]] = frozenset({"opset"})
    pickled: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def match(self, model: object) -> bool:
        """Whether an object in memory is such a model; imports nothing."""

    @abstractmethod
    def source(self, model: Any, request: Request) -> Source:
        """The model with the inputs asked for; ConvertError (E0608) where they do not fit it."""

    def match_file(self, path: Path, head: bytes) -> bool:
        """Whether a file (its first bytes are `head`) or folder holds such a model."""
        del head
        return path.suffix in self.suffixes

    def is_program(self, path: Path) -> bool:
        """Whether a file runs code when it is loaded, which is done only when trusted (E0610)."""
        return path.suffix in self.pickled

    def load(self, path: Path) -> Any:
        """The model in a file that `match_file` knows; ConvertError (E0601) where it is broken."""
        raise NotImplementedError(f"{self.name} has no files of its own ({path})")


def comes_from(model: object, *packages: str) -> bool:
    """Whether the type of an object, or a base of it, is defined in one of these packages."""
    homes = {c.__module__.partition(".")[0] for c in type(model).__mro__}
    return not homes.isdisjoint(packages)
