"""3x3 convolutions of stride 1 by Winograd's minimal filtering: fewer products, some sums.

F(2x2) makes 4 outputs of a 4x4 patch with 16 products instead of 36, F(4x4) 16 outputs of a 6x6
patch with 36 instead of 144:

    out = At [ (G g Gt) * (Bt d B) ] A      g: 3x3 weights, d: patch, * element by element

    pack     G g Gt for every channel and filter, as panels [element][panel][C][width]
    main     parallel block of patches:
                 for patch: scratch[element][patch][C] = Bt d B          channels in lanes
                 for panel: for element: Tile; for patch: out = At m A   filters in lanes

F(2x2) is as exact as the plain sum; F(4x4) loses a digit and is used where the precision asked
for allows it. An infinity reaches the whole of the outputs that its patch makes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sardonyx.core import knobs
from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    binary,
    const,
    load,
    minimum,
    number,
    scalar,
    substitute,
    var,
    where,
)
from sardonyx.kernels.blocking import Blocking, choose, odd_lines, tile_shape
from sardonyx.kernels.buffers import closed, trimmed
from sardonyx.kernels.filtering import F2, F4, Filtering, both_sides
from sardonyx.kernels.linear import count, least, loads, parts, position, renumber, slope
from sardonyx.kernels.pack import conjunction, unguarded
from sardonyx.kernels.scheduled import Packed, Scheduled
from sardonyx.kernels.tiles import chain
from sardonyx.loops.ir import Buffer, Contract, For, If, Kernel, Let, Stmt, Store, Tile
from sardonyx.loops.target import Target

# With fewer channels or filters the transforms, which are linear in both, outweigh the products
# saved, which go with their product.
_FEWEST_CHANNELS = 32
# Outputs of an image below which tiles at its border are mostly padding.
_FEWEST_OUTPUTS = 32
_F32 = DType.FLOAT32


def winograd(kernel: Kernel, target: Target) -> Scheduled | str:
    """Schedules a 3x3 convolution of stride 1; the reason where it is not one or gains nothing."""
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Contract):
        return "the kernel is not one contraction"
    filtering = F2 if knobs.PRECISION.get() == "highest" else F4
    return filtered(kernel, kernel.body[0], target, filtering)


def filtered(kernel: Kernel, c: Contract, target: Target, by: Filtering) -> Scheduled | str:
    """Schedules a contraction by a given filtering; the reason where it cannot."""
    found = _convolution(c)
    if isinstance(found, str):
        return found
    channels, filters = number(found.channel.args[0]), number(count(c.n))
    if channels is None or filters is None or min(channels, filters) < _FEWEST_CHANNELS:
        return "the channels are too few, or not a known number"
    if (least(count(c.m)) or 0) < _FEWEST_OUTPUTS:
        return "the image is too small"
    plan = _Pieces(found, by, target, len(kernel.params), (channels, filters))
    packed = _weights(kernel, found, plan)
    params = (*kernel.params, Buffer(len(kernel.params), _F32, packed.count))
    main = replace(kernel, params=params, body=(plan.loop(),), scratch=plan.scratch)
    return trimmed(main, (packed,), f"winograd {by.out}x{by.out}")


@dataclass(frozen=True)
class _Convolution:
    """A contraction whose left operand depends on y + i and x + j only, i and j < 3."""

    contract: Contract
    outer: tuple[Expr, ...]
    y: Expr
    x: Expr
    i: Expr
    j: Expr
    channel: Expr

    def element(self, y: Expr, x: Expr) -> Expr:
        """`left` at a row and column of the padded image."""
        zero = const(0)
        at = {self.y: y, self.x: x, self.i: zero, self.j: zero}
        return substitute(self.contract.left, at)


def _convolution(c: Contract) -> _Convolution | str:
    if c.acc.dtype is not _F32 or len(c.m) < 2 or len(c.k) != 3 or c.batch:
        return "the contraction is not a convolution of images"
    *_, y, x = c.m
    for i, j, channel in itertools.permutations(c.k):
        sizes = (number(i.args[0]), number(j.args[0]))
        if sizes == (3, 3) and _slides(c.left, y, i) and _slides(c.left, x, j):
            steps = [slope(a.args[0], channel) for a in loads(c.left)]
            if any(s is None or number(s) != 1 for s in steps):
                return "the channels are not contiguous"
            return _Convolution(c, c.m[:-2], y, x, i, j, channel)
    return "the window is not 3 by 3, or moves by more than one"


def _slides(e: Expr, along: Expr, tap: Expr) -> bool:
    """Whether `e` depends on the sum of the two variables only."""
    return tap in e.free and substitute(e, {along: along + 1}) is substitute(e, {tap: tap + 1})


def _weights(kernel: Kernel, found: _Convolution, plan: _Pieces) -> Packed:
    """The kernel that filters the weights and lays them out."""
    c, width, by = found.contract, plan.cut.width, plan.by
    across = plan.cut.panels
    task, lane = var("pack_task", across), var("pack_column", width)
    column = task * width + lane
    weights = renumber(c.right, c.n, column, parts(c.n, column))
    inside = binary("lt", column, count(c.n))
    taps = [
        [_tap(weights, {found.i: const(i), found.j: const(j)}, inside) for j in range(3)]
        for i in range(3)
    ]
    step = across * plan.channels * width
    at = (task * plan.channels + found.channel) * width + lane
    stores = tuple(Store(0, at + step * n, e) for n, e in enumerate(both_sides(by.g, taps)))
    body = For(task, (For(found.channel, (For(lane, stores, "vector"),)),), "parallel")
    return closed(kernel, (body,), step * by.patch**2, _F32)


def _tap(weights: Expr, at: dict[Expr, Expr], inside: Expr) -> Expr:
    return where(inside, substitute(weights, at), const(0.0, _F32))


class _Pieces:
    """The pieces of the main kernel; `loop` puts them together."""

    def __init__(
        self,
        found: _Convolution,
        by: Filtering,
        target: Target,
        packed: int,
        sizes: tuple[int, int],
    ) -> None:
        self.found, self.by, self.packed = found, by, packed
        self.channels, self.filters = sizes
        height, width = (v.args[0] for v in (found.y, found.x))
        self.down, self.across = ((d + (by.out - 1)) // by.out for d in (height, width))
        self.elements = by.patch**2
        self.pitch = odd_lines(self.channels, _F32)
        patches = count(found.outer) * self.down * self.across
        shape = tile_shape(target, _F32, self.filters)
        self.cut: Blocking = choose(
            target,
            shape,
            (const(1), patches, const(self.filters)),
            self.elements * self.pitch * 4,
            0,
        )
        self.most = self.cut.most_tiles * self.cut.height
        self.patches, self.products = packed + 1, packed + 2
        room = self.elements * self.most
        self.scratch = (
            Buffer(self.patches, _F32, const(room * self.pitch), space="thread"),
            Buffer(self.products, _F32, const(room * self.cut.width), space="thread"),
        )
        self.first, self.rows = (scalar("first_patch", INDEX), scalar("patch_count", INDEX))
        self.first_panel, self.panels = (scalar("first_panel", INDEX), scalar("panels", INDEX))

    def loop(self) -> Stmt:
        """The parallel loop over blocks of patches and of panels."""
        cut = self.cut
        task = var("task", cut.column_blocks * cut.row_blocks)
        across, down = task // cut.row_blocks, task % cut.row_blocks
        start, stop = (cut.tiles * (down + n) // cut.row_blocks * cut.height for n in (0, 1))
        first, last = (cut.panels * (across + n) // cut.column_blocks for n in (0, 1))
        patches = count(self.found.outer) * self.down * self.across
        lets = (
            Let(self.first, start),
            Let(self.rows, minimum(stop, patches) - self.first),
            Let(self.first_panel, first),
            Let(self.panels, last - self.first_panel),
        )
        return For(task, (*lets, self._patches(), self._panels()), "parallel")

    def _place(self, row: Expr, name: str) -> tuple[tuple[Let, ...], dict[Expr, Expr]]:
        """The subscripts of a patch: their definitions, and what stands for each variable."""
        f = self.found
        axes = (*f.outer, var("patch_y", self.down), var("patch_x", self.across))
        whole = scalar(f"{name}_number", INDEX)
        values = parts(axes, whole)
        names = [scalar(f"{name}_{n}", INDEX) for n in range(len(axes))]
        lets = (Let(whole, self.first + row), *map(Let, names, (values[v] for v in axes)))
        *outer, y, x = names
        starts = (y * self.by.out, x * self.by.out)
        return lets, dict(zip((*f.outer, f.y, f.x), (*outer, *starts), strict=True))

    # Patches

    def _patches(self) -> Stmt:
        """Filters every patch of the block into scratch."""
        f, side = self.found, self.by.patch
        row = var("patch", self.rows)
        lets, at = self._place(row, "patch")
        outer = {v: at[v] for v in f.outer}
        square = [
            [substitute(self._guarded(at[f.y] + i, at[f.x] + j, i, j), outer) for j in range(side)]
            for i in range(side)
        ]
        bare = [[unguarded(e)[0] for e in line] for line in square]
        tests = [t for line in square for e in line for t in unguarded(e)[1]]
        if not tests:
            return For(row, (*lets, self._filter(row, bare)))
        inside = If(conjunction(tests), (self._filter(row, bare),), (self._filter(row, square),))
        return For(row, (*lets, inside))

    def _guarded(self, y: Expr, x: Expr, i: int, j: int) -> Expr:
        """An element of the padded image, 0 past the end that a last patch may reach over."""
        f = self.found
        e = f.element(y, x)
        for at, n, v in ((y, i, f.y), (x, j, f.x)):
            end = v.args[0] + 2
            if n > 2 and number(v.args[0] % self.by.out) != 0:
                e = _within(at, end, e)
        return e

    def _filter(self, row: Expr, square: list[list[Expr]]) -> Stmt:
        lane = self.found.channel
        stores = tuple(
            Store(self.patches, (row + n * self.most) * self.pitch + lane, e)
            for n, e in enumerate(both_sides(self.by.bt, square))
        )
        return For(lane, stores, "vector")

    # Products

    def _panels(self) -> Stmt:
        panel = var("panel", self.panels)
        return For(panel, (self._products(self.first_panel + panel), self._outputs(panel)))

    def _products(self, panel: Expr) -> Stmt:
        """For every element of a patch: patches times filtered weights, into scratch."""
        cut = self.cut
        element = var("element", self.elements)
        tile = var("tile", (self.rows + (cut.height - 1)) // cut.height)
        here = minimum(self.rows - tile * cut.height, const(cut.height))
        weights = (element * cut.panels + panel) * (self.channels * cut.width)

        def make(rows: int, off: Expr) -> Stmt:
            row, col = var(f"row{rows}", rows), var("col", cut.width)
            at = element * self.most + tile * cut.height + off
            acc = self.found.contract.acc
            store = Store(self.products, (at + row) * cut.width + col, acc)
            return Tile(
                acc,
                rows,
                cut.width,
                const(self.channels),
                self.patches,
                at * self.pitch,
                const(self.pitch),
                self.packed,
                weights,
                const(cut.width),
                row,
                col,
                const(rows),
                const(cut.width),
                (store,),
            )

        return For(element, (For(tile, chain(cut, here, make)),))

    # Outputs

    def _outputs(self, panel: Expr) -> Stmt:
        """The outputs of every patch for one panel of filters, and the body on them."""
        cut, side, out = self.cut, self.by.patch, self.by.out
        row = var("made", self.rows)
        column = (self.first_panel + panel) * cut.width
        valid = minimum(const(self.filters) - column, const(cut.width))
        if self.filters % cut.width == 0:
            valid = const(cut.width)
        col = var("made_col", valid)
        at = [(row + n * self.most) * cut.width + col for n in range(side * side)]
        products = [load(self.products, [e], _F32) for e in at]
        square = [products[i * side : (i + 1) * side] for i in range(side)]
        lets, place = self._place(row, "made")
        sums = [scalar(f"made_sum{n}", _F32) for n in range(out * out)]
        defined = map(Let, sums, both_sides(self.by.at, square))
        body = [s for n, v in enumerate(sums) for s in self._body(n, v, place, column + col)]
        return For(row, (*lets, For(col, (*defined, *body), "vector")))

    def _body(self, n: int, acc: Expr, place: dict[Expr, Expr], column: Expr) -> Iterator[Stmt]:
        """The contraction's body on output n of a patch, if the image reaches that far."""
        f, c = self.found, self.found.contract
        by_out = divmod(n, self.by.out)
        here = {**place, c.acc: acc}
        tests = []
        for v, shift in zip((f.y, f.x), by_out, strict=True):
            here[v] = place[v] + shift
            if shift and number(v.args[0] % self.by.out) != 0:
                tests.append(binary("lt", here[v], v.args[0]))
        at = parts(c.n, column)
        stores: list[Stmt] = []
        for s in c.body:
            assert isinstance(s, Store)
            index = substitute(position(s.index, c.n, column, at), here)
            value = substitute(renumber(s.value, c.n, column, at), here)
            stores.append(Store(s.buffer, index, value))
        if tests:
            yield If(conjunction(tests), tuple(stores))
        else:
            yield from stores


def _within(at: Expr, end: Expr, e: Expr) -> Expr:
    """`e` where at < end, else 0, as one choice with the tests `e` has already."""
    value, tests, other = unguarded(e)
    zero = const(0.0, _F32)
    if other not in (None, zero):
        return where(binary("lt", at, end), e, zero)
    return where(conjunction([binary("lt", at, end), *tests]), value, zero)
