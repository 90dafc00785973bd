"""Mixtures of experts, of which each token takes the few that its router chooses."""

from __future__ import annotations

import numpy as np

from sardonyx.graph.body import Body
from sardonyx.graph.ir import Value
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import need_rank, refuse
from sardonyx.ops.microsoft.attention import size_of
from sardonyx.ops.microsoft.composed import Composed, Made, integers, like


class MoE(Composed, kw_only=True):
    """The experts' networks of two or three layers, mixed by the router's largest shares.

    Every expert sees every token, and the shares of those not chosen are 0.
    """

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
        if self.use_sparse_mixer or self.swiglu_limit_after_activation:
            raise NotImplementedError("MoE with the sparse mixer or a limit after the activation")
        need_rank(router.type, 2, 2, "router_probs")
        w1, b1, w2, b2, w3, b3 = filled(rest, 6)
        size = size_of(x, -1, "the hidden size")
        tokens = body.reshape(x, (1, -1, size))
        hidden = _layer(body, tokens, w1, b1)
        hidden = self._activated(body, hidden, tokens, w3, b3)
        each = _layer(body, hidden, w2, b2)
        shares = self._shares(body, router)
        mixed = body(
            "Mul", each, body("Unsqueeze", body.transpose(shares, 1, 0), integers(body, 2))
        )
        total = body("ReduceSum", mixed, integers(body, 0), keepdims=0)
        return body("Reshape", total, body("Shape", x))

    def _shares(self, body: Body, router: Value) -> Value:
        """[tokens, experts]: the softmax's largest k, and 0 for the others."""
        assert router.type.dtype is not None
        experts = size_of(router, 1, "the number of experts")
        if not 1 <= self.k <= experts:
            raise refuse("E0341", "`k` is not from 1 to the number of experts", self.k, experts)
        shares = body("Softmax", router, axis=-1)
        best, which = body.all("TopK", router, integers(body, self.k), axis=-1, outputs=2)
        if self.normalize_routing_weights:
            kept = body("Softmax", best, axis=-1)
        else:
            kept = body("GatherElements", shares, which, axis=1)
        zeros = body("Mul", shares, like(body, shares, 0))
        return body("ScatterElements", zeros, which, kept, axis=1)

    def _activated(self, body: Body, x: Value, tokens: Value, w3: Made, b3: Made) -> Value:
        kind = self.activation_type
        if kind == "swiglu":
            return self._swiglu(body, x, tokens, w3, b3)
        y = {
            "relu": lambda: body("Relu", x),
            "gelu": lambda: body("Gelu", x, approximate="tanh"),
            "silu": lambda: body("Mul", x, body("Sigmoid", x)),
            "identity": lambda: x,
        }.get(kind)
        if y is None:
            raise refuse("E0341", "`activation_type` is unknown", kind)
        return y() if w3 is None else body("Mul", y(), _layer(body, tokens, w3, b3))

    def _swiglu(self, body: Body, x: Value, tokens: Value, w3: Made, b3: Made) -> Value:
        if self.swiglu_fusion == 0:
            if w3 is None:
                raise refuse("E0341", "SwiGLU without fusion needs the third weights")
            gate, line = x, _layer(body, tokens, w3, b3)
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


def _layer(body: Body, x: Value, weights: Value, bias: Made) -> Value:
    """Every expert's product with the tokens: [experts, tokens, rows of the weights]."""
    need_rank(weights.type, 3, 3, "an expert's weights")
    y = body("MatMul", x, body.transpose(weights, 0, 2, 1))
    return y if bias is None else body("Add", y, body("Unsqueeze", bias, integers(body, 1)))
