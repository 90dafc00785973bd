"""Mixtures of experts, of which each token takes the few that its router chooses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, cast, const, fresh, minimum, scalar
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Counted, Op, stretched
from sardonyx.loops.ir import Fold, For, Kernel, Let, Store
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import as_index, need_rank, refuse, same_dim, wrap
from sardonyx.ops.microsoft.attention import size_of
from sardonyx.ops.microsoft.composed import Composed, Made, integers, like
from sardonyx.ops.quantized.bits import UnpackedBits

# Rows of every expert's matrix that are read for all tokens in turn: they stay in the second-level
# cache.
_ROWS = 16


class ChosenProducts(Op):
    """Each token's products with the matrices of the experts that it chose.

    x [tokens, 1 or choices, depth], weights [experts, rows, depth], chosen [tokens, choices] int64
    gives [tokens, choices, rows]; the matrices of other experts are not read.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "reduction"

    def infer(self, x: Type, weights: Type, chosen: Type) -> Type:
        need_rank(x, 3, 3, "the tokens")
        need_rank(weights, 3, 3, "an expert's weights")
        need_rank(chosen, 2, 2, "the choices")
        if x.shape is None or weights.shape is None or chosen.shape is None:
            return Type(x.dtype)
        same_dim(x.shape[2], weights.shape[2])
        same_dim(x.shape[0], chosen.shape[0])
        return Type(x.dtype, (*chosen.shape, weights.shape[1]))

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        del inputs
        return (Counted(2, 1, 0),)

    def reference(self, x: Array, weights: Array, chosen: Array) -> Array:
        out = np.empty((*chosen.shape, weights.shape[1]), x.dtype)
        wide = np.broadcast_to(x, (*chosen.shape, x.shape[2]))
        for expert in np.unique(chosen):
            of = chosen == expert
            out[of] = settle(np.matmul(widen(wide[of]), widen(weights[expert]).T), x.dtype)
        return out

    def build(self, outs: tuple[Type, ...], x: Type, weights: Type, chosen: Type) -> Kernel:
        assert x.dtype is not None
        memory = Memory(outs, (x, weights, chosen))
        (tokens, choices), (experts, rows, depth) = chosen.dims, weights.dims
        task, token, choice = fresh((rows + (_ROWS - 1)) // _ROWS), fresh(tokens), fresh(choices)
        within, k = fresh(minimum(rows - task * _ROWS, const(_ROWS))), fresh(depth)
        expert, acc = scalar("expert", INDEX), scalar("acc", DType.FLOAT32)
        row, pair = task * _ROWS + within, token * choices + choice
        own = token * x.dims[1] + stretched(choice, x.dims[1])
        left = lift(memory.read(1, own * depth + k))
        right = lift(memory.read(2, (expert * rows + row) * depth + k))
        named = Let(expert, wrap(as_index(memory.read(3, pair)), experts))
        product = Fold(acc, "add", (k,), left * right, "vector")
        store = Store(0, pair * rows + row, cast(acc, x.dtype))
        pairs = For(token, (For(choice, (named, For(within, (product, store)))),))
        return memory.kernel(For(task, (pairs,), "parallel"))


class MoE(Composed, kw_only=True):
    """The networks of two or three layers of the experts that the router chose, mixed by shares."""

    activation_alpha: float = 1.0
    activation_beta: float = 0.0
    activation_type: str = "relu"
    k: int = 1
    normalize_routing_weights: int = 0
    swiglu_fusion: int = 0
    swiglu_limit: float | None = None
    swiglu_limit_after_activation: int = 0
    use_sparse_mixer: int = 0

    def compose(self, body: Body, x: Value, router: Value, *rest: Made) -> Value:
        w1, b1, w2, b2, w3, b3 = filled(rest, 6)
        return self.mixed(body, x, (router, router), ((w1, b1), (w2, b2), (w3, b3)))

    def mixed(
        self,
        body: Body,
        x: Value,
        routers: tuple[Value, Value],
        layers: tuple[tuple[Value, Made], tuple[Value, Made], tuple[Made, Made]],
    ) -> Value:
        """The output; `routers` are what experts are chosen by and what they are mixed by."""
        if self.use_sparse_mixer or self.swiglu_limit_after_activation:
            raise NotImplementedError(f"{self.op_type} with the sparse mixer or a late limit")
        for router in routers:
            need_rank(router.type, 2, 2, "router_probs")
        chosen, shares = self._chosen(body, *routers)
        size = size_of(x, -1, "the hidden size")
        tokens = body.reshape(x, (-1, 1, size))
        (w1, b1), (w2, b2), third = layers
        hidden = _layer(body, tokens, chosen, w1, b1)
        hidden = self._activated(body, hidden, tokens, chosen, *third)
        each = _layer(body, hidden, chosen, w2, b2)
        weighted = body("Mul", each, body("Unsqueeze", shares, integers(body, 2)))
        total = body("ReduceSum", weighted, integers(body, 1), keepdims=0)
        return body("Reshape", total, body("Shape", x))

    @property
    def _of_chosen(self) -> bool:
        """Whether the shares of the chosen experts add up to 1."""
        return bool(self.normalize_routing_weights)

    def _chosen(self, body: Body, router: Value, weights: Value) -> tuple[Value, Value]:
        """[tokens, k]: the experts with the largest scores, and their shares."""
        experts = size_of(router, 1, "the number of experts")
        if not 1 <= self.k <= experts:
            raise refuse("E0341", "`k` is not from 1 to the number of experts", self.k, experts)
        best, chosen = body.all("TopK", router, integers(body, self.k), axis=-1, outputs=2)
        if weights is not router:
            kept = body("GatherElements", weights, chosen, axis=1)
            if self.normalize_routing_weights:
                sums = body("ReduceSum", kept, integers(body, 1))
                kept = body("Div", kept, sums)
            return chosen, kept
        if self._of_chosen:
            return chosen, body("Softmax", best, axis=-1)
        shares = body("Softmax", router, axis=-1)
        return chosen, body("GatherElements", shares, chosen, axis=1)

    def _activated(
        self, body: Body, x: Value, tokens: Value, chosen: Value, w3: Made, b3: Made
    ) -> Value:
        kind = self.activation_type
        line = None if w3 is None else _layer(body, tokens, chosen, w3, b3)
        if kind == "swiglu":
            return self._swiglu(body, x, line)
        y = {
            "relu": lambda: body("Relu", x),
            "gelu": lambda: body("Gelu", x, approximate="tanh"),
            "silu": lambda: body("Mul", x, body("Sigmoid", x)),
            "identity": lambda: x,
        }.get(kind)
        if y is None:
            raise refuse("E0341", "`activation_type` is unknown", kind)
        return y() if line is None else body("Mul", y(), line)

    def _swiglu(self, body: Body, x: Value, third: Made) -> Value:
        if self.swiglu_fusion == 0:
            if third is None:
                raise refuse("E0341", "SwiGLU without fusion needs the third weights")
            gate, line = x, third
        elif self.swiglu_fusion == 1:
            half = size_of(x, -1, "the rows of the first weights") // 2
            pairs = body.reshape(x, (0, 0, half, 2))
            gate, line = (body("Gather", pairs, body.constant(np.array(n)), axis=3) for n in (0, 1))
        else:
            gate, line = body.all("Split", x, axis=-1, num_outputs=2, outputs=2)
        if self.swiglu_limit is not None:
            low, high = (like(body, x, s * self.swiglu_limit) for s in (-1, 1))
            gate, line = body("Min", gate, high), body("Clip", line, low, high)
        alpha, beta = like(body, x, self.activation_alpha), like(body, x, self.activation_beta)
        swish = body("Mul", gate, body("Sigmoid", body("Mul", gate, alpha)))
        return body("Mul", swish, body("Add", line, beta))


def _layer(body: Body, x: Value, chosen: Value, weights: Value, bias: Made) -> Value:
    """The chosen experts' products with the tokens: [tokens, choices, rows of the weights]."""
    y = body(ChosenProducts(), x, weights, chosen)
    return y if bias is None else body("Add", y, body("Gather", bias, chosen, axis=0))


class QMoE(MoE, kw_only=True):
    """MoE with weights of a few bits, a scale for each row or for each block of it.

    As ONNX Runtime has it on CPUs, shares are those among the chosen experts in any case.
    """

    accuracy_level: int = 0
    block_size: int | None = None
    expert_weight_bits: int = 4
    fc1_expert_weight_bits: int | None = None
    fc2_expert_weight_bits: int | None = None
    fc3_expert_weight_bits: int | None = None
    quant_type: str = "int"
    weights_prepacked: int = -1

    def compose(self, body: Body, x: Value, router: Value, *rest: Made) -> Value:
        w1, s1, b1, w2, s2, b2, w3, s3, b3, z1, z2, z3, mixing, *others = filled(rest, 19)
        if self.quant_type != "int" or any(v is not None for v in others):
            raise NotImplementedError(f"QMoE of {self.quant_type} with scales of activations")
        wide = size_of(x, -1, "the hidden size")
        narrow = size_of(w2, 2, "an expert's weights") * 8 // self._bits(2)
        first = self._numbers(body, w1, s1, z1, (self._bits(1), wide))
        second = self._numbers(body, w2, s2, z2, (self._bits(2), narrow))
        third = None if w3 is None else self._numbers(body, w3, s3, z3, (self._bits(3), wide))
        layers = ((first, b1), (second, b2), (third, b3))
        return self.mixed(body, x, (router, router if mixing is None else mixing), layers)

    @property
    def _of_chosen(self) -> bool:
        return True

    def _bits(self, layer: int) -> int:
        own = getattr(self, f"fc{layer}_expert_weight_bits")
        bits = self.expert_weight_bits if own is None else own
        if bits not in (2, 3, 4, 8):
            raise refuse("E0341", "an expert's weights have no such bits", bits, "2, 3, 4, 8")
        return int(bits)

    def _numbers(
        self, body: Body, w: Value, scales: Made, zeros: Made, form: tuple[int, int]
    ) -> Value:
        """[experts, rows, depth] of weights."""
        if scales is None:
            raise refuse("E0341", "weights of a few bits need scales")
        (bits, depth), blocked = form, len(scales.type.dims) == 3
        block = (self.block_size or depth) if blocked else depth
        codes = body(UnpackedBits(bits=bits, count=depth), w)
        steps = scales if blocked else body("Unsqueeze", scales, integers(body, 2))
        if zeros is None:
            zeros = body("Expand", body.constant(np.array(1 << (bits - 1), np.uint8)),
                         body("Shape", steps))  # fmt: skip
        else:
            count = size_of(steps, 2 if blocked else 1, "the scales")
            zeros = body(UnpackedBits(bits=bits, count=count), zeros)
            zeros = zeros if blocked else body("Unsqueeze", zeros, integers(body, 2))
        return body("DequantizeLinear", codes, steps, zeros, axis=2, block_size=block)
