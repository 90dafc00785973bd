"""Hand-written modules, each with what makes it hard to export, and the inputs it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it


@dataclass(frozen=True)
class Row:
    """How a module is made, its inputs, and how it is converted."""

    build: Callable[[], nn.Module]
    inputs: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


class Choosing(nn.Module):
    """A branch on the values of a tensor, said by torch.cond."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, self._more, self._less, (x,))

    def _more(self, x: Tensor) -> Tensor:
        return self.a(x) * 2

    def _less(self, x: Tensor) -> Tensor:
        return self.b(x)


class Whiling(nn.Module):
    """A loop whose number of turns depends on a value, kept by scripting."""

    def forward(self, x: Tensor) -> Tensor:
        n = 0
        while bool(x.abs().sum() < 100.0) and n < 20:
            x = x * 1.5 + 0.1
            n += 1
        return x


class InPlace(nn.Module):
    """Updates in place, of parts and of a whole."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = x.clone()
        z[:, 0] = 0
        z[:, 1:3] += y[:, 1:3]
        z.mul_(2).clamp_(-1, 1)
        z[y > 1] = 3
        return z


class Rounding(torch.autograd.Function):
    """Rounds forward, and passes gradients straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x * 4) / 4

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        return grad[0]


class Straight(nn.Module):
    """A custom autograd function."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = Rounding.apply(self.layer(x) / 8)
        return found


def _scaled(x: Tensor, by: float) -> Tensor:
    return x * by


# An operator of its own, which no exporter knows.
scaled = torch.library.custom_op("sardonyx_tests::scaled", _scaled, mutates_args=())
scaled.register_fake(lambda x, by: torch.empty_like(x))


class Custom(nn.Module):
    """A custom operator, translated by a table."""

    def forward(self, x: Tensor) -> Tensor:
        return scaled(x, 2.5) + 1


def translations() -> dict[Any, Any]:
    """How the custom operator is said in ONNX."""
    from onnxscript import opset18 as op

    def say(x: Any, by: float) -> Any:
        return op.Mul(x, op.CastLike(op.Constant(value_float=by), x))

    return {torch.ops.sardonyx_tests.scaled.default: say}


class Recurrent(nn.Module):
    """Two directions of LSTM, then GRU, with the last states."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(10, 4, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, _) = self.lstm(x)
        z, _ = self.gru(y)
        return z, h


class Causal(nn.Module):
    """Attention under a causal mask made from the length."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2)


class Decoder(nn.Module):
    """Transposed convolutions, upsampling, pixel shuffle, reflected pads."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 3, stride=2, padding=1, output_padding=1)
        self.norm, self.mix = nn.GroupNorm(2, 8), nn.Conv2d(8, 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm(self.up(x)))
        y = self.mix(F.pad(y, (1, 1, 1, 1), mode="reflect"))
        y = F.pixel_shuffle(y, 2)
        return F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)


class Sorting(nn.Module):
    """Top values, their places, what lies there, and sums along the way."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        top, at = x.topk(3, dim=-1)
        return {"top": top, "at": at, "same": x.gather(-1, at), "sums": x.cumsum(-1)}


class Selecting(nn.Module):
    """As many rows as a mask lets through: a size that depends on data."""

    def forward(self, x: Tensor) -> Tensor:
        return x[x[:, 0] > 0] * 2


class Folding(nn.Module):
    """Windows over a signal, and products of them with a bank."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(5, 8))

    def forward(self, x: Tensor) -> Tensor:
        start = torch.arange(0, x.shape[-1] - 7, 4, device=x.device)
        at = start.unsqueeze(-1) + torch.arange(8, device=x.device)
        return torch.einsum("nwk,fk->nfw", x[:, at], self.bank)


class Encoder(nn.Module):
    """PyTorch's own transformer layers, with a mask of absent tokens."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.table = nn.Embedding(10, 8)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.layers(self.table(ids), src_key_padding_mask=mask == 0)


class Normed(nn.Module):
    """Parametrized weights, shared ones, and a buffer that is a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.second = nn.Linear(4, 4)
        self.third = self.second
        self.scale: Tensor
        self.register_buffer("scale", torch.arange(4.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.third(torch.tanh(self.second(self.first(x)))) * self.scale


class Batch(nn.Module):
    """A mapping that holds a list of pairs."""

    def forward(self, batch: dict[str, Any], scale: float = 2.0) -> dict[str, Any]:
        left, right = batch["pairs"]
        return {"sum": left + right, "all": (left * scale, [right.mean(-1)])}


class Squeezing(nn.Module):
    """A residual network whose blocks weigh their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = y + y * self.gate(y)
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1)).log_softmax(-1)


class Mixing(nn.Module):
    """Experts chosen by a router, all of them computed and weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(4, 3)
        self.experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.router(x).softmax(-1).topk(2, dim=-1)
        every = torch.stack([expert(x) for expert in self.experts], dim=-2)
        at = chosen.unsqueeze(-1).expand(*chosen.shape, 4)
        return (every.gather(-2, at) * weight.unsqueeze(-1)).sum(-2)


class Rotary(nn.Module):
    """Positions turned into angles from the length of the input."""

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        rate = 1.0 / (100.0 ** (torch.arange(half, device=x.device) / half))
        angle = torch.outer(torch.arange(x.shape[1], device=x.device).float(), rate)
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


MODULES = {
    "branch on values": Row(Choosing, ("x=Nx4",)),
    "loop on values": Row(Whiling, ("x=Nx4",), {"capture": "script"}),
    "updates in place": Row(InPlace, ("x=Nx4", "y=Nx4")),
    "autograd function": Row(Straight, ("x=Nx4",)),
    "custom operator": Row(Custom, ("x=Nx4",), {"translations": translations}),
    "recurrent": Row(Recurrent, ("x=NxTx6",), {"capture": "trace"}),
    "causal attention": Row(Causal, ("x=NxTx8",)),
    "image decoder": Row(Decoder, ("x=Nx3xHxW",)),
    "sorting": Row(Sorting, ("x=NxK",), {"dims": {"K": range(3, 40)}}),
    "size of data": Row(Selecting, ("x=Nx4",)),
    "windows": Row(Folding, ("x=NxT",), {"dims": {"T": range(8, 80)}}),
    "encoder": Row(Encoder, ("ids=NxS:int64", "mask=NxS:int64")),
    "parametrized": Row(Normed, ("x=Nx4",)),
    "nested mapping": Row(Batch, ("batch.pairs.0=NxK", "batch.pairs.1=NxK")),
    "squeeze and excite": Row(Squeezing, ("x=Nx3xHxW",)),
    "experts": Row(Mixing, ("x=NxTx4",)),
    "rotary positions": Row(Rotary, ("x=NxTx8",)),
}
