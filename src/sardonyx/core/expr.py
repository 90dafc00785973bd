"""Immutable hash-consed expressions: dims, subscripts and element values share one algebra.

    Expr := const | var | load(index) | reduce(extent, body) | op(Expr, ...)

Two structurally equal expressions are the same object. `int64` expressions are index arithmetic
kept as canonical polynomials (`core.index`); every other dtype keeps the order as written, because
floating-point arithmetic is not associative.
"""

import sardonyx.core.index  # noqa: F401 - registers the rules of int64 arithmetic
from sardonyx.core.facts import bound, nonnegative, within
from sardonyx.core.poly import divide, polynomial, reordered
from sardonyx.core.rewrite import evaluate, loop_sites, product, reduce, substitute, transform, walk
from sardonyx.core.term import (
    INDEX,
    Expr,
    add,
    binary,
    cast,
    const,
    eq,
    exp,
    floordiv,
    fold,
    fresh,
    load,
    maximum,
    minimum,
    mod,
    mul,
    name_of,
    number,
    operate,
    rebuild,
    scalar,
    show,
    sqrt,
    sub,
    symbol,
    unary,
    var,
    where,
    written,
)

__all__ = [
    "INDEX", "Expr", "add", "binary", "bound", "cast",
    "const", "divide", "eq", "evaluate", "exp", "floordiv", "fold", "fresh", "load", "loop_sites",
    "maximum", "minimum", "mod", "mul", "name_of", "nonnegative", "number", "operate", "polynomial",
    "product", "rebuild", "reduce", "reordered", "scalar", "show", "sqrt", "sub", "substitute",
    "symbol", "transform", "unary", "var", "walk", "where", "within",
    "written",
]  # fmt: skip
