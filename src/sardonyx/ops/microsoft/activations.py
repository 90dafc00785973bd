"""Activations with their bias and gates."""

from __future__ import annotations

from sardonyx.graph.body import Body
from sardonyx.graph.ir import Value
from sardonyx.ops.microsoft.composed import Composed, Made, like


class Gelu(Composed):
    """x times the normal distribution's share below x."""

    def compose(self, body: Body, x: Value) -> Value:
        return body("Gelu", x)


class FastGelu(Composed):
    """Gelu of x + bias with tanh for the distribution."""

    def compose(self, body: Body, x: Value, bias: Made = None) -> Value:
        return body("Gelu", x if bias is None else body("Add", x, bias), approximate="tanh")


class BiasGelu(Composed):
    """Gelu of x + bias."""

    def compose(self, body: Body, x: Value, bias: Value) -> Value:
        return body("Gelu", body("Add", x, bias))


class QuickGelu(Composed):
    """x * sigmoid(alpha * x)."""

    alpha: float = 1.702

    def compose(self, body: Body, x: Value) -> Value:
        return body("Mul", x, body("Sigmoid", body("Mul", x, like(body, x, self.alpha))))


class BiasSplitGelu(Composed):
    """The left half of x + bias times the Gelu of the right one."""

    def compose(self, body: Body, x: Value, bias: Value) -> Value:
        left, right = body.all("Split", body("Add", x, bias), axis=-1, num_outputs=2, outputs=2)
        return body("Mul", left, body("Gelu", right))


class BiasAdd(Composed):
    """x + bias + skip."""

    def compose(self, body: Body, x: Value, bias: Value, skip: Value) -> Value:
        return body("Add", body("Add", x, bias), skip)


class GatedAdd(Composed):
    """x + y * gate, a gate for each row; projected gates are not defined off CUDA."""

    def compose(self, body: Body, x: Value, y: Value, gate: Value, weight: Made = None) -> Value:
        if weight is not None:
            raise NotImplementedError("GatedAdd with `gate_weight`")
        return body("Add", x, body("Mul", y, gate))


class BiasSoftmax(Composed, kw_only=True):
    """softmax(x + bias) from `axis` on; the bias has the inner or the outer axes of x."""

    axis: int = 1
    is_inner_broadcast: int

    def compose(self, body: Body, x: Value, bias: Value) -> Value:
        rank, own = len(x.type.dims), len(bias.type.dims)
        first = self.axis % rank
        if not self.is_inner_broadcast and own < rank:
            # The bias lacks axes between its outer ones and the softmax's.
            bias = body.reshape(bias, (*[0] * (own - (rank - first)), *[1] * (rank - own), *[-1]))
        summed = body("Add", x, bias)
        if first == rank - 1:
            return body("Softmax", summed, axis=-1)
        flat = body("Flatten", summed, axis=first)
        return body("Reshape", body("Softmax", flat, axis=-1), body("Shape", x))
