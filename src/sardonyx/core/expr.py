"""Immutable hash-consed expressions: dims, subscripts and element values share one algebra.

    Expr := const | var | load(index) | reduce(extent, body) | op(Expr, ...)

Two structurally equal expressions are the same object. `int64` expressions are index arithmetic
kept as canonical polynomials (`core.index`); every other dtype keeps the order as written, because
floating-point arithmetic is not associative.
"""

from sardonyx.core.index import bound, divide, nonnegative, polynomial, within
from sardonyx.core.term import (
    BINARY,
    COMPARE,
    INDEX,
    REDUCTIONS,
    UNARY,
    Expr,
    add,
    binary,
    cast,
    const,
    eq,
    evaluate,
    exp,
    floordiv,
    fold,
    fresh,
    load,
    loop_sites,
    maximum,
    minimum,
    mod,
    mul,
    name_of,
    number,
    product,
    rebuild,
    reduce,
    scalar,
    show,
    sqrt,
    sub,
    substitute,
    symbol,
    transform,
    unary,
    var,
    walk,
    where,
)

__all__ = [
    "BINARY", "COMPARE", "INDEX", "REDUCTIONS", "UNARY", "Expr", "add", "binary", "bound", "cast",
    "const", "divide", "eq", "evaluate", "exp", "floordiv", "fold", "fresh", "load", "loop_sites",
    "maximum", "minimum",
    "mod", "mul", "name_of", "nonnegative", "number", "polynomial", "product", "rebuild", "reduce",
    "scalar", "show", "sqrt", "sub", "substitute", "symbol", "transform", "unary", "var", "walk",
    "where", "within",
]  # fmt: skip
