"""The base of every operator: each is a frozen dataclass whose fields are the ONNX attributes.

    class Relu(Op):
        "max(x, 0)"
        since = 14
        def infer(self, x): return x
        def reference(self, x): return np.maximum(x, 0)
        def at(self, idx, x): return maximum(x[idx], 0)

`infer` and `reference` make an op work, `at` (or `contract`, `build`) makes it compile and fuse,
`expand` gives it a body in other ops. Subclassing registers; an announced module is imported when
one of its ops is first sought. `find` chooses the version. An older version is one more class of
the same file, called by name and opset: `ReluV6`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, dataclass_transform

from sardonyx.core.expr import Expr, const, fresh, minimum, number

if TYPE_CHECKING:
    from sardonyx.core.dtype import Array, DType
    from sardonyx.graph.type import Type


class Index(tuple[Expr, ...]):  # noqa: SLOT001 - a tuple cannot have slots
    """The subscripts of one output element; `shape` is that output's shape."""

    shape: tuple[Expr, ...]

    def __new__(cls, subscripts: Iterable[Expr | int], shape: Iterable[Expr | int]) -> Self:
        self = super().__new__(cls, tuple(const(i) for i in subscripts))
        self.shape = tuple(const(d) for d in shape)
        return self


class Operand:
    """An input as `at` sees it: `x[idx]` is the Expr of one element, read from memory or computed.

    `type.value` holds the elements where they are known before running.
    """

    type: Type

    @property
    def shape(self) -> tuple[Expr, ...]:
        """The dims."""
        return self.type.dims

    @property
    def dtype(self) -> DType:
        """The element type."""
        assert self.type.dtype is not None
        return self.type.dtype

    @property
    def rank(self) -> int:
        """The number of dims."""
        return len(self.shape)

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        raise NotImplementedError

    def known(self) -> tuple[Expr, ...] | None:
        """The elements, row-major, where they are known before running."""
        return self.type.value

    def broadcast(self, idx: Index) -> Expr:
        """The element that numpy broadcasting pairs with output element `idx`."""
        tail = idx[len(idx) - self.rank :]
        shape = idx.shape[len(idx) - self.rank :]
        axes = zip(tail, self.shape, shape, strict=True)
        return self[[stretched(i, dim, out) for i, dim, out in axes]]


def stretched(i: Expr, dim: Expr, out: Expr | None = None) -> Expr:
    """Subscript `i` of a dim that is 1 or, where i counts to `out`, as long."""
    if number(dim) == 1:
        return const(0)
    if dim is out or dim.is_const:
        return i
    return i * minimum(dim - 1, 1)


@dataclass(frozen=True)
class SumOfProducts:
    """out[place(b, m, n)] = finish(sum over k of left(b, m, k) * right(b, k, n), place(b, m, n)).

    What an operator means, for any subscripts; the statement that computes it is loops.ir.Contract.
    `batch`, `m`, `n`, `k` are extents; the functions take tuples of subscripts of those lengths.
    `place` gives the output subscripts. The product is computed in the output's precision class.
    `left` should be the activations and `right` the weights where one of them is constant.
    """

    batch: tuple[Expr, ...]
    m: tuple[Expr, ...]
    n: tuple[Expr, ...]
    k: tuple[Expr, ...]
    left: Callable[[Subscripts, Subscripts, Subscripts], Expr]
    right: Callable[[Subscripts, Subscripts, Subscripts], Expr]
    place: Callable[[Subscripts, Subscripts, Subscripts], tuple[Expr, ...]]
    finish: Callable[[Expr, Index], Expr]
    acc: DType


Subscripts = tuple[Expr, ...]


@dataclass(frozen=True)
class Counted:
    """That the elements of operand `indices` are subscripts along dim `axis` of operand `data`.

    `from_end`: negative ones count from the end. `column`: only that one of each row of subscripts.
    `ignored`: a value that is none. `window`: from each, as many elements are touched as that
    operand is long along `axis`. `ends`: the subscript after the last is one too.
    """

    indices: int
    data: int
    axis: int
    from_end: bool = True
    column: int | None = None
    ignored: int | None = None
    window: int | None = None
    ends: bool = False


class Trait(enum.Flag):
    """What passes may rely on without knowing an operator by name."""

    NONE = 0
    SELECTS = enum.auto()
    """Every element of the output is an element of the first input."""
    IN_ORDER = enum.auto()
    """The elements of the output are those of the first input, in row-major order."""
    JOINS = enum.auto()
    """Given one input, the output is that input."""
    CLIPS = enum.auto()
    """Only limits the elements of the first input."""
    AVERAGES = enum.auto()
    """Every element of the output is a mean of elements of the first input."""
    IDEMPOTENT = enum.auto()
    """Applied twice it does what it does applied once."""
    INVOLUTION = enum.auto()
    """Applied twice it does nothing."""
    SLIDES = enum.auto()
    """Sees all channels, or every channel alike, in windows: fastest with channels innermost."""
    ASIDE = enum.auto()
    """Looks at operands that others read: nothing is stored for its sake."""
    BY_CHANNEL = enum.auto()
    """As fast in whatever order the axes of its input are stored."""
    WIDENS = enum.auto()
    """Makes few bits of an integer the element of a wider type: computed where it is read."""


class Bodies(Protocol):
    """A walk of type inference, as an operator with subgraphs sees it."""

    @property
    def hurries(self) -> bool:
        """Whether so much was walked that approximations are wanted."""

    def graph(self, body: Any) -> None:
        """Infers a subgraph whose inputs and captured values have types."""

    def doubtful(self, body: Any) -> None:
        """The same for one that may never run: its errors are only noted."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class _Fields:
    """Tells type checkers that a subclass is a frozen dataclass, as `Op` makes it."""


# What the methods of an operator raise on operands that cannot be.
MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Op(_Fields):
    """One version of one operator; a subclass is made a frozen dataclass, no decorator is needed.

    Class variables: `domain` ("" is ai.onnx), `since` (first opset with this behaviour; where it
    is not given, 11 for a class called `SoftmaxV11`), `name` (the class name, without such a
    `V11`), `tolerance` (exact, rounding or reduction: how exactly two implementations must
    agree), `random` (results differ from run to run), `foreign` (another's operator
    in the standard's domain), `traits` (see Trait), `neutral` (the first
    and second operand that leave the other one as it is). What became of it later: `ended` is the
    first opset without it, `redefined` lists those in which its meaning changed, and `made_inputs`
    is an opset and the attributes that are inputs from it on.

    `outputs` is how many outputs the node has, which for some ops is the node's choice.
    """

    domain: ClassVar[str] = ""
    since: ClassVar[int] = 1
    name: ClassVar[str] = ""
    tolerance: ClassVar[str] = "rounding"
    random: ClassVar[bool] = False
    foreign: ClassVar[bool] = False
    traits: ClassVar[Trait] = Trait.NONE
    neutral: ClassVar[tuple[float | None, float | None]] = (None, None)
    ended: ClassVar[int | None] = None
    redefined: ClassVar[tuple[int, ...]] = ()
    made_inputs: ClassVar[tuple[int, tuple[str, ...]]] = (0, ())

    outputs: int = field(default=1, kw_only=True, repr=False, metadata={"attribute": False})

    def __init_subclass__(cls, *, abstract: bool = False, kw_only: bool = False) -> None:
        if "__annotations__" in cls.__dict__ or len(cls.__bases__) > 1:
            dataclass(frozen=True, kw_only=kw_only)(cls)
        stem, version = _version(cls.__name__)
        if "since" not in cls.__dict__ and version:
            cls.since = version
        if "name" not in cls.__dict__:
            cls.name = stem if version == cls.since else cls.__name__
        if not abstract:
            _register((cls.domain, cls.name), cls)

    @property
    def op_type(self) -> str:
        """The ONNX operator name."""
        return type(self).name

    @classmethod
    def standard(cls, *names: str) -> bool:
        """Whether it is one of these operators of ai.onnx; of another domain none is."""
        return cls.name in names and cls.domain == ""

    def attributes(self) -> dict[str, Any]:
        """The attributes by ONNX name, those left at None (absent) excluded."""
        found = {}
        for f in dataclasses.fields(self):
            if f.metadata.get("attribute", True):
                value = getattr(self, f.name)
                if value is not None:
                    found[f.metadata.get("onnx", f.name)] = value
        return found

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        """Makes its attributes `given` those of the next version, of `opset`, or says why not."""
        del opset, given, inputs
        return None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Any]) -> str | None:
        """Makes `given` and the inputs, of the next version, this one's, or says why not.

        It takes back what `renew` does; attributes that became inputs are not its matter.
        """
        del given, inputs
        return None

    def needs(self, *inputs: Any) -> int:
        """The first opset with these values of attributes and inputs left out, 1 for any."""
        del inputs
        return 1

    def express(self, write: Any, opset: int, *inputs: Any) -> Any:
        """The same in operators that lead to a model of `opset`, which has no form of this one.

        Its output value or a tuple of them, appended by `write`, whose operators may in turn have
        to be expressed; a text why it cannot; None where it has nothing to say.
        """
        del write, opset, inputs
        return None

    def infer(self, *inputs: Any) -> Any:
        """The output Type (or a tuple of them) from the input Types (None where absent)."""
        raise NotImplementedError(f"{self.op_type} has no shape inference")

    def reference(self, *inputs: Any) -> Any:
        """The output array (or tuple) computed with numpy: the definition of the op."""
        raise NotImplementedError(f"{self.op_type} has no reference")

    @classmethod
    def has(cls, capability: str) -> bool:
        """Whether the class defines `at`, `contract`, `expand`, `build`, `control` or another."""
        return getattr(cls, capability, None) is not getattr(Op, capability, None)

    def at(self, idx: Index, *inputs: Any) -> Expr:
        """The Expr of the first output's element at `idx`."""
        raise NotImplementedError

    def at_output(self, which: int, idx: Index, *inputs: Any) -> Expr:
        """The Expr of output number `which` at `idx`."""
        if which:
            raise NotImplementedError
        return self.at(idx, *inputs)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        """The operands whose elements are subscripts, which no run may leave out of range."""
        del inputs
        return ()

    def contract(self, out: Type, *inputs: Any) -> SumOfProducts | None:
        """The op as a sum of products, where it is one for these operands."""
        del out, inputs
        return None

    def weight_axis(self, rank: int) -> int | None:
        """The axis of a second input of that rank which counts output channels, None without."""
        del rank
        return None

    def expand(self, graph: Any, *inputs: Any) -> Any:
        """Appends nodes of simpler ops to `graph`; returns the output value(s), None to decline."""
        raise NotImplementedError

    def build(self, outs: tuple[Type, ...], *inputs: Any) -> Any:
        """A loops.ir Kernel over (outputs..., inputs...) for what `at` cannot say."""
        raise NotImplementedError

    def control(self, call: Callable[..., Any], *inputs: Any) -> Any:
        """Runs a control-flow op; `call(graph, arrays)` runs a subgraph, returning its outputs."""
        raise NotImplementedError

    def enter(self, walk: Bodies, *inputs: Type | None) -> None:
        """Gives the inputs of the op's subgraphs types and has the subgraphs inferred."""
        raise NotImplementedError

    def carried(self, inputs: int) -> int | None:
        """How many first outputs of a body replace the last trip's; None where there is one trip.

        `inputs` is the number of the node's inputs.
        """
        del inputs
        return 0

    def trips(self, *inputs: Any) -> int | None:
        """How many trips a control-flow op is going to take, None where only running tells."""
        del inputs
        return None

    def signature(self, inputs: int, outputs: int) -> Iterable[str]:
        """What does not agree between the subgraphs and the node's numbers of inputs, outputs."""
        del inputs, outputs
        return ()


def _version(name: str) -> tuple[str, int]:
    """The stem and version of a class name: ("Softmax", 11) of SoftmaxV11; version 0 for none."""
    stem, _, version = name.rpartition("V")
    return (stem, int(version)) if stem and version.isdecimal() else (name, 0)


Key = tuple[str, str]

# The entry points, each named after a domain, that other packages' operators are announced by.
GROUP = "sardonyx.ops"

_registry: dict[Key, dict[int, type[Op]]] = {}
_places: dict[Key, str] = {}


def _register(key: Key, kind: type[Op]) -> None:
    """A module that is loaded late leaves the classes in force that others have defined before."""
    known = _registry.setdefault(key, {})
    if kind.since not in known or kind.__module__ != _places.get(key):
        known[kind.since] = kind


def announce(places: Mapping[Key, str]) -> None:
    """Tells the modules that define operators; each is imported when one of its own is sought."""
    _places.update(places)


def versions(domain: str, name: str) -> Mapping[int, type[Op]]:
    """The classes of an operator by the first opset they hold for; empty for an unknown one."""
    key = ("" if domain == "ai.onnx" else domain, name)
    if key in _places:
        importlib.import_module(_places[key])
    elif key not in _registry and domain:
        _plug_in(domain)
    return _registry.get(key, {})


@functools.cache
def _plug_in(domain: str) -> None:
    """Imports what installed packages announce as their operators of a domain."""
    if any(domain == known for known, _ in _places):
        return
    from importlib import metadata  # noqa: PLC0415 - slow, and for operators of others only

    for point in metadata.entry_points(group=GROUP, name=domain):
        point.load()


class Opaque(Op, abstract=True):
    """An operator nobody has defined: kept as data, refused by name only when it must run."""

    kind: str = field(default="", metadata={"attribute": False})
    space: str = field(default="", metadata={"attribute": False})
    overload: str = field(default="", metadata={"attribute": False})
    settings: tuple[tuple[str, Any], ...] = field(default=(), metadata={"attribute": False})

    @property
    def op_type(self) -> str:
        """The operator name found in the model."""
        return self.kind

    def attributes(self) -> dict[str, Any]:
        """The attributes as found."""
        return dict(self.settings)


def domain_of(op: Op) -> str:
    """The domain an op instance belongs to."""
    return op.space if isinstance(op, Opaque) else type(op).domain


_fractions: dict[type[Op], tuple[str, ...]] = {}


def exactly(op: Op) -> Hashable:
    """What only ops have in common that are equal to the bit: 0.0 equals -0.0 and is another."""
    kind = type(op)
    names = _fractions.get(kind)
    if names is None:
        own = [(f.name, str(f.type)) for f in dataclasses.fields(op)]
        names = tuple(name for name, said in own if "float" in said or said == "Any")
        _fractions[kind] = names
    if not names:
        return op
    held = [getattr(op, name) for name in names]
    return (op, *[_bits(x) for x in held if isinstance(x, float | tuple)])


def _bits(x: float | tuple[Any, ...]) -> str | bytes:
    if isinstance(x, tuple) and x and set(map(type, x)) == {float}:
        return array("d", x).tobytes()
    return repr(x)


def find(domain: str, name: str, opset: int = 1 << 30) -> type[Op] | None:
    """The op class in force at an opset version (the newest if none is given), None if none is."""
    known = versions(domain, name)
    usable = [since for since in known if since <= opset]
    return known[max(usable)] if usable else None


def loaded() -> dict[Key, dict[int, type[Op]]]:
    """The ops whose modules are imported by now: (domain, name) -> since -> class."""
    return {key: dict(known) for key, known in _registry.items()}


def registered() -> dict[Key, dict[int, type[Op]]]:
    """Every op, those of announced modules that nobody has needed yet included."""
    for place in dict.fromkeys(_places.values()):
        importlib.import_module(place)
    return loaded()


def loop_index(shape: Sequence[Expr]) -> Index:
    """Fresh loop variables over a shape; the subscript of a dim that is 1 is 0."""
    return Index([const(0) if number(d) == 1 else fresh(d) for d in shape], shape)


def as_arrays(result: Any) -> tuple[Array, ...]:
    """What a `reference` returned, as a tuple."""
    return result if isinstance(result, tuple) else (result,)
