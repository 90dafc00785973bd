from dataclasses import replace

import pytest

from sardonyx.core.dtype import DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import (
    Expr,
    binary,
    cast,
    const,
    exp,
    fresh,
    load,
    maximum,
    minimum,
    name_of,
    reduce,
    scalar,
    substitute,
    symbol,
    unary,
    var,
    where,
)
from sardonyx.loops.ir import Buffer, Contract, Fold, For, If, Kernel, Let, Stmt, Store, Tile
from sardonyx.loops.text import canonical, digest, from_text, to_text

F32 = DType.FLOAT32


def softmax(n: Expr, m: Expr, i: Expr, j: Expr, k: Expr) -> Kernel:
    name = name_of(i)
    top = scalar(f"{name}_top", F32)
    total = scalar(f"{name}_total", F32)
    e = scalar(f"{name}_e", F32)
    again = load(0, [i * m + k], F32)
    here = i * m + j
    body = (Let(e, exp(load(0, [here], F32) - top)), Store(1, here, e / total))
    row = (
        Fold(top, "max", (k,), again, "vector"),
        Fold(total, "add", (k,), exp(again - top), "serial"),
        For(j, body, "vector"),
    )
    return Kernel(
        params=(Buffer(0, F32, n * m), Buffer(1, F32, n * m, "out")),
        symbols=(n, m),
        body=(For(i, row, "parallel"),),
        work=n * m * 4,
    )


def named(letter: str) -> Kernel:
    n, m = symbol(f"{letter}n"), symbol(f"{letter}m")
    return softmax(n, m, fresh(n), fresh(m), var(f"{letter}k", m))


N = symbol("rows here")


def product(body: Stmt) -> Kernel:
    return Kernel(
        params=(
            Buffer(0, F32, N * 64),
            Buffer(1, F32, const(64 * 32)),
            Buffer(2, F32, N * 32, "out"),
        ),
        symbols=(N,),
        body=(body,),
        work=N * 4096,
        scratch=(Buffer(3, F32, const(32), space="thread"),),
    )


def contract() -> Kernel:
    acc = scalar("acc", F32)
    m, n, k = var("m", N), var("n", 32), var("k", 64)
    statement = Contract(
        batch=(),
        m=(m,),
        n=(n,),
        k=(k,),
        acc=acc,
        left=load(0, [m * 64 + k], F32),
        right=load(1, [k * 32 + n], F32),
        body=(Store(2, m * 32 + n, acc),),
    )
    return product(statement)


def tile() -> Kernel:
    acc = scalar("acc", F32)
    row, col = var("r", 14), var("c", 32)
    statement = Tile(
        acc=acc,
        rows=14,
        cols=32,
        depth=const(64),
        a=0,
        a_at=const(0),
        a_stride=const(64),
        b=1,
        b_at=const(8),
        b_stride=const(32),
        row=row,
        col=col,
        valid_rows=minimum(N, 14),
        valid_cols=const(30),
        body=(Store(2, row * 32 + col, acc * 2.0),),
        start=load(3, [col], F32),
    )
    return product(statement)


def odd() -> Kernel:
    i = var("for", 8)
    x = load(0, [i], DType.FLOAT16)
    y = scalar("b1", F32)
    flag = scalar("if", DType.BOOL)
    values = [float("nan"), float("-inf"), -0.0, 1e-45, 1e300, 0.1]
    literals = [Store(1, const(n), const(value, F32)) for n, value in enumerate(values)]
    body: tuple[Stmt, ...] = (
        Let(y, cast(x, F32)),
        Let(flag, binary("or", unary("isnan", y), y < 0)),
        If(flag & True, (Store(1, i, y),), (Store(1, i, where(flag, -y, y * y * y)),)),
        If(flag, (Store(1, maximum(i - 4, 0) // 3 % 2, binary("pow", y, const(2, F32))),)),
        *literals,
    )
    return eight(DType.FLOAT16, For(i, body, "unroll"))


def eight(kind: DType, body: Stmt) -> Kernel:
    out = Buffer(1, F32, const(8), "out")
    return Kernel(params=(Buffer(0, kind, const(8)), out), symbols=(), body=(body,), work=const(64))


def chain(depth: int) -> Kernel:
    """Every step uses the one before twice: as a tree it would have 2 ** depth parts."""
    i = var("i", 8)
    value = load(0, [i], F32)
    for _ in range(depth):
        value = exp(value) * value + value
    return eight(F32, For(i, (Store(1, i, value),)))


ALL = {
    "softmax": named("x"),
    "contract": contract(),
    "tile": tile(),
    "odd": odd(),
    "chain": chain(200),
}


@pytest.mark.parametrize("name", ALL)
def test_text_reads_back(name: str) -> None:
    kernel = ALL[name]
    assert from_text(to_text(kernel)) == kernel


@pytest.mark.parametrize("name", ALL)
def test_canonical_form_is_its_own(name: str) -> None:
    closed = canonical(ALL[name])
    assert canonical(closed) == closed
    assert from_text(to_text(closed)) == closed


def test_names_do_not_matter() -> None:
    texts = {to_text(canonical(named(letter))) for letter in "abcdefgh"}
    assert len(texts) == 1
    assert len({digest(named(letter)) for letter in "abcdefgh"}) == 1


def test_buffer_numbers_do_not_matter_but_order_does() -> None:
    kernel = named("x")
    (loop,) = kernel.body
    assert isinstance(loop, For)
    moved = Kernel(
        tuple(replace(b, number=b.number + 5) for b in kernel.params),
        kernel.symbols,
        (replace(loop, body=tuple(map(_moved, loop.body))),),
        kernel.work,
    )
    assert digest(moved) == digest(kernel)
    swapped = replace(kernel, params=(kernel.params[1], kernel.params[0]))
    assert digest(swapped) != digest(kernel)


def _moved(s: Stmt) -> Stmt:
    def move(e: Expr) -> Expr:
        loads = {x: load(x.arg + 5, x.args, x.dtype) for x in _loads(e)}
        return substitute(e, loads)

    if isinstance(s, Fold):
        return replace(s, value=move(s.value))
    if isinstance(s, For):
        return replace(s, body=tuple(map(_moved, s.body)))
    if isinstance(s, Store):
        return replace(s, buffer=s.buffer + 5, value=move(s.value))
    assert isinstance(s, Let)
    return replace(s, value=move(s.value))


def _loads(e: Expr) -> list[Expr]:
    return [e] if e.op == "load" else [x for a in e.args if a.op != "var" for x in _loads(a)]


@pytest.mark.parametrize("change", ["kind", "dtype", "constant"])
def test_digest_tells_kernels_apart(change: str) -> None:
    kernel = named("x")
    text = to_text(kernel)
    old, new = {
        "kind": ("fold max vector", "fold max serial"),
        "dtype": ("float32", "float64"),
        "constant": ("work (4", "work (5"),
    }[change]
    assert old in text
    assert digest(from_text(text.replace(old, new))) != digest(kernel)


def test_text_stays_short_where_parts_are_shared() -> None:
    text = to_text(chain(2000))
    assert len(text) < 200_000
    assert max(map(len, text.splitlines())) < 200


def test_text_is_what_people_read(golden: object) -> None:
    assert callable(golden)
    golden("loops/softmax.txt", to_text(canonical(named("x"))))
    golden("loops/tile.txt", to_text(tile()))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  b1[i] = 1.0:float33", "a data type"),
        ("  b1[i] = unknown", "a name bound before"),
        ("  b7[i] = b8[i]", "a declared buffer"),
        ("  b1[i] = (i ^ 2)", "a token"),
        ("  b1[i] = frob(i)", "an operation"),
        ("  b1[i] = i i", "the end of the line"),
        ("  b1[i] =", "an expression"),
        ("  x: float32 = fold add vector:", "`of` on the next line"),
        ("     b1[i] = i", "indented by two"),
        ("  if i", ":"),
    ],
)
def test_unreadable_text_names_its_line(line: str, said: str) -> None:
    head = "kernel\nout b1: int64[4]\nwork 1\nfor i < 4:\n"
    with pytest.raises(EngineError, match="line 5") as caught:
        from_text(head + line)
    assert caught.value.code == "E0805"
    assert said in str(caught.value.wanted)


def test_unbound_names_and_undeclared_buffers_have_no_canonical_form() -> None:
    i = var("i", 4)
    params = (Buffer(0, F32, const(4), "out"),)
    value = const(0, F32)
    free = Kernel(params, (), (Store(0, i, value),), const(4))
    with pytest.raises(EngineError, match="`i`, which nothing binds"):
        canonical(free)
    lost = Kernel(params, (), (Store(3, const(0), value),), const(4))
    with pytest.raises(EngineError, match="b3"):
        canonical(lost)


def test_reductions_inside_expressions_have_no_text() -> None:
    value = reduce("add", 4, lambda k: load(0, [k], F32))
    params = (Buffer(0, F32, const(4)), Buffer(1, F32, const(1), "out"))
    with pytest.raises(EngineError, match="Fold"):
        to_text(Kernel(params, (), (Store(1, const(0), value),), const(4)))
