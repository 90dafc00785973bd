"""Modules for conversion tests, as a user's own file would hold them."""

import dataclasses
from typing import Any

import torch


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.last = torch.nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> Any:
        y = torch.relu(self.conv(x))
        return self.last(y.mean((2, 3)))


class Fixed(Small):
    def forward(self, x: Any) -> Any:
        y = torch.relu(self.conv(x))
        return self.last(y.mean((2, 3)).reshape(3, 4))


class Branch(Small):
    def forward(self, x: Any) -> Any:
        if x.shape[0] > 4:
            x = x * 2
        return super().forward(x)


class Values(Small):
    def forward(self, x: Any) -> Any:
        if x.sum() > 4:
            x = x * 2
        return super().forward(x)


class Two(torch.nn.Module):
    def forward(self, a: Any, b: Any) -> Any:
        return {"total": a + b, "parts": [a - b, (a > b)]}


class Groups(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.reshape(x.shape[0] // 4, 4, -1)


class Nines(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.reshape(x.shape[0] // 9, 9, -1)


class Prefix(torch.nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        z = x.clone()
        z[: y.shape[0]] = y
        return z * 2


class Unused(torch.nn.Module):
    def forward(self, x: Any, extra: Any = None) -> Any:
        return x + 1


class Masked(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 8)
        self.block = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, ids: Any, mask: Any = None) -> Any:
        hidden = mask == 0
        return self.block(self.table(ids), src_key_padding_mask=hidden)


def build() -> Any:
    torch.manual_seed(0)
    return Small()


def broken() -> Any:
    return 1 / 0


def number() -> int:
    return 7


net = Two()


class Counting(torch.nn.Module):
    """Counts its calls, in a buffer and in one that it puts in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.seen: Any
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.seen = self.seen + 1
        return x * 2


class Batch(torch.nn.Module):
    """Takes a mapping whose entries are tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 8)

    def forward(self, batch: Any) -> Any:
        hidden = self.table(batch["ids"]) * batch["mask"].unsqueeze(-1)
        return {"hidden": hidden, "pooled": hidden.mean(1)}


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any
    scale: float = 2.0


class Paired(torch.nn.Module):
    """Takes a dataclass, a tuple and a keyword argument."""

    def forward(self, pair: Pair, rest: tuple[Any, Any], *, weight: Any) -> Any:
        return pair.left @ weight + pair.right * pair.scale, rest[0] - rest[1]


class Scripted(torch.nn.Module):
    """Loops as often as a size says, which only scripting keeps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for _ in range(x.shape[0]):
            y = y + x
        return y


class Stepping(torch.nn.Module):
    """Everything that a review of its trace has to name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(3)])
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = self.drop(layer(x))
        for _ in range(3):
            x = torch.sin(x) + 1
        wide = (x.double() * 2.5).float()
        if x.shape[0] > 2:
            return wide
        return wide


class Noisy(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x + 0 * torch.randn(x.shape[0], 2)


class Remembering(torch.nn.Module):
    """Answers what it was told before."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x: Any) -> Any:
        self.last += x.sum(0)
        return x + self.last


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(4, 6), torch.nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        return x + self.b(torch.relu(self.a(x)))


class Stack(torch.nn.Module):
    """Three equal blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.Sequential(*(Block() for _ in range(3)))

    def forward(self, x: Any) -> Any:
        return self.blocks(x) * 2
