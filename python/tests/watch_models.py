"""Small models of the common kinds, on tasks that they learn."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from test_watch import PROTOTYPES, mlp


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += skip
        result: torch.Tensor = self.relu(out)
        return result


def resnet(width: int = 8) -> nn.Module:
    """ResNet-18's layout."""
    blocks: list[nn.Module] = []
    inside = width
    for stage in range(4):
        for at in range(2):
            outside = width * 2**stage
            blocks.append(Block(inside, outside, 2 if stage and not at else 1))
            inside = outside
    stem = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10))


def vgg() -> nn.Module:
    """VGG-11's layout with batch norm."""
    layers: list[nn.Module] = []
    inside = 3
    for size in (8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64):
        if size == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inside, int(size), 3, padding=1), nn.BatchNorm2d(int(size)), nn.ReLU(inplace=True)]
            inside = int(size)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inside, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10))


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (4, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(-2))
        return result


class GPT(nn.Module):
    """A small pre-norm transformer with GPT-2's initialisation."""

    def __init__(self, layers: int = 4, width: int = 32, vocabulary: int = 50) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList()
        for _ in range(layers):
            mlp_ = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            parts = {"ln1": nn.LayerNorm(width), "attn": Attention(width), "ln2": nn.LayerNorm(width), "mlp": mlp_}
            self.blocks.append(nn.ModuleDict(parts))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("out.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if residual else 0.02)
        self.head.weight = self.tokens.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = h + block["attn"](block["ln1"](h))
            h = h + block["mlp"](block["ln2"](h))
        logits: torch.Tensor = self.head(self.norm(h))
        return logits


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(50, 32), nn.LSTM(32, 64, 2, batch_first=True), nn.Linear(64, 50)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.lstm(self.embed(x))[0])
        return logits


Sample = Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]


def images(generator: torch.Generator, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy prototypes as pictures `[N, 3, 16, 16]`."""
    y = torch.randint(0, 10, (size,), generator=generator)
    pictures = PROTOTYPES[y].reshape(size, 1, 8, 8).repeat(1, 3, 2, 2)
    return pictures + torch.randn(pictures.shape, generator=generator), y


def words(generator: torch.Generator, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Counting from a random start: the next word is known after the first."""
    text = (torch.randint(0, 50, (size, 1), generator=generator) + torch.arange(25)) % 50
    return text[:, :-1], text[:, 1:]


def loss_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    out = model(x)
    return F.cross_entropy(out.flatten(0, -2), y.flatten())


def he(depth: int = 8) -> nn.Module:
    return mlp(depth, he=True)
