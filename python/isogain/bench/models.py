"""The trainings that watchers are measured on, from many small tensors to few large ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["MODELS", "Task"]


@dataclass(frozen=True)
class Task:
    """A model and its only batch."""

    model: nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor

    def loss(self) -> torch.Tensor:
        """Mean cross-entropy."""
        outputs = self.model(self.inputs)
        return F.cross_entropy(outputs.flatten(0, -2), self.targets.flatten())


def mlp() -> Task:
    """20 hidden layers of 256 units, batch 128."""
    layers: list[nn.Module] = []
    for _ in range(20):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
    return Task(nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(128, 256), torch.randint(0, 10, (128,)))


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.skip: nn.Module | None = None
        if stride != 1 or inside != outside:
            self.skip = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.skip is None else self.skip(x)
        result: torch.Tensor = self.relu(out)
        return result


def cnn(width: int = 32) -> Task:
    """The layout of ResNet-18 from 32 channels on, batch 32 of 32 x 32 pixels."""
    stem = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    blocks, inside = [], width
    for stage in range(4):
        for at in range(2):
            blocks.append(_Block(inside, width * 2**stage, 2 if stage and not at else 1))
            inside = width * 2**stage
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10))
    return Task(model, torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,)))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(-2))
        return result


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln1, self.attn, self.ln2 = nn.LayerNorm(width), _Attention(width, 4), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = x + self.attn(self.ln1(x))
        result: torch.Tensor = h + self.mlp(self.ln2(h))
        return result


class _Transformer(nn.Module):
    def __init__(self, layers: int, width: int, places: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.02 * torch.randn(places, width))
        self.blocks = nn.Sequential(*(_Layer(width) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(self.blocks(self.tokens(x) + self.places)))
        return logits


def gpt() -> Task:
    """4 layers of 256 units, 128 tokens, batch 8, 1000 words."""
    return Task(_Transformer(4, 256, 128, 1000), torch.randint(0, 1000, (8, 128)), torch.randint(0, 1000, (8, 128)))


MODELS: dict[str, Callable[[], Task]] = {"mlp": mlp, "cnn": cnn, "gpt": gpt}
