"""What an emitter of machine code offers to the statements that write their own instructions.

A module of this package registers the function that spells a statement in LLVM's text:

    @emits(Tile)
    def tile(code: Emit, stmt: Tile) -> None: ...

An operand is the text of a register or constant without its type (`%t12`, `7`, `zeroinitializer`).
Its LLVM type follows from the dtype: `code.type(dtype, lanes)`. BOOL is i1 in registers, FLOAT16
and BFLOAT16 are i16 (their bits), int64 expressions are i64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr
from sardonyx.loops.ir import Kernel, Stmt

if TYPE_CHECKING:
    from sardonyx.loops.target import Target


class Trip(Protocol):
    """One loop being written: see `Emit.loop`."""

    @property
    def index(self) -> str:
        """The i64 register counting from start by step."""

    @property
    def values(self) -> list[str]:
        """The carried registers at the top of this trip."""

    @property
    def results(self) -> list[str]:
        """After the `with`: the carried values the loop ended with (the first ones if no trip)."""

    def next(self, values: Sequence[str]) -> None:
        """Sets what is carried into the next trip; call it once, last."""


class Emit(Protocol):
    """Writes LLVM text at the current place of one function."""

    kernel: Kernel
    target: Target

    def fresh(self, prefix: str = "t") -> str:
        """A register name used nowhere else, such as `%t12`."""

    def line(self, text: str) -> None:
        """Appends one instruction that has no result."""

    def let(self, instruction: str, prefix: str = "t") -> str:
        """Appends `%fresh = instruction` and returns the register."""

    def declare(self, text: str) -> None:
        """Adds a module-level line once, such as `declare float @llvm.fma.f32(float, ...)`."""

    def type(self, dtype: DType, lanes: int | None = None) -> str:
        """The register type of an element, or of a vector of `lanes` of them."""

    def call(self, intrinsic: str, result: str, *args: tuple[str, str]) -> str:
        """Calls `@intrinsic` with (type, operand) pairs, declaring it; returns the register."""

    def loop(
        self,
        stop: str,
        carry: Iterable[tuple[str, str]] = (),
        *,
        start: str = "0",
        step: int = 1,
        nonempty: bool = False,
    ) -> AbstractContextManager[Trip]:
        """A loop `for index in range(start, stop, step)` around what the `with` block writes.

        `carry` are (type, first operand) of the values passed from trip to trip. Operands are
        i64. `nonempty` promises at least one trip and saves the test before the loop. Loop
        invariant expressions asked for inside are computed before the loop.
        """

    def branch(self, condition: str) -> AbstractContextManager[Trip]:
        """Code that runs only if the i1 operand holds; registers made inside end there."""

    def scope(self) -> AbstractContextManager[None]:
        """Definitions and memoised expressions made inside are forgotten at the end."""

    def define(self, var: Expr, operand: str, lanes: int | None = None) -> None:
        """Gives a loop variable or scalar its value in this scope (a vector if `lanes` is set)."""

    def literal(self, var: Expr, number: int) -> AbstractContextManager[None]:
        """Inside, a loop variable is that number: what is made of it leaves the loops around."""

    def expr(self, e: Expr, lanes: int | None = None) -> str:
        """The value of an expression, computed once per scope, where its variables are bound.

        `lanes` None asks for a scalar (CompileError where it is a vector); a number asks for a
        vector: scalars are splat.
        """

    def pointer(self, buffer: int, index: Expr | None = None) -> str:
        """The address of an element of a parameter or scratch buffer."""

    def statement(self, stmt: Stmt) -> None:
        """Writes one statement of the loop language."""

    def body(self, stmts: Iterable[Stmt]) -> None:
        """Writes statements one after another."""


Spelling = Callable[[Emit, Any], None]
EMITTERS: dict[type[Any], Spelling] = {}

F = TypeVar("F", bound=Spelling)


def emits(kind: type[Any]) -> Callable[[F], F]:
    """Registers the decorated function as the spelling of a kind of statement."""

    def register(function: F) -> F:
        EMITTERS[kind] = function
        return function

    return register
