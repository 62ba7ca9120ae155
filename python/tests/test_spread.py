"""How a gradient of any direction fares, against the Jacobian that PyTorch gives, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import isogain


class InputsFirst(nn.Module):
    """A layer whose weight is `[inputs, outputs]`, as the transformers library's `Conv1D`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class Sum(nn.Module):
    """`x + F(x)`, or `S(x) + F(x)`."""

    def __init__(self, branch: nn.Module, skip: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.skip = branch, skip

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.skip is None else self.skip(x)) + self.branch(x)


class MeanOverPositions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def lopsided(layer: nn.Module) -> nn.Module:
    """With weights whose rows differ in size, so that none of them can be taken for its transpose."""
    with torch.no_grad():
        for _, weight in layer.named_parameters():
            if weight.dim() > 1:
                weight *= torch.linspace(0.2, 3.0, weight.shape[0]).view(-1, *[1] * (weight.dim() - 1))
    return layer


def of_vectors() -> list[nn.Module]:
    first, inner = nn.Linear(12, 10), [lopsided(nn.Linear(10, 14)), nn.LayerNorm(14), nn.Tanh(), lopsided(nn.Linear(14, 14)), nn.ReLU()]
    return [first, *inner, nn.Linear(14, 4)]


def inputs_first() -> list[nn.Module]:
    return [nn.Linear(12, 10), nn.Tanh(), lopsided(InputsFirst(10, 14)), nn.GELU(), lopsided(InputsFirst(14, 8)), nn.Linear(8, 4)]


def of_images(*end: nn.Module, pool: nn.Module | None = None) -> list[nn.Module]:
    conv = lambda *size, **more: lopsided(nn.Conv2d(*size, **more))
    body = [nn.ReLU(), conv(3, 4, (3, 2), padding=(1, 0)), nn.Tanh(), pool or nn.MaxPool2d(2), conv(4, 5, 3, stride=2, padding=1), nn.ReLU()]
    return [conv(2, 3, 3, padding="same"), *body, *end]


def flattened() -> list[nn.Module]:
    return of_images(nn.Flatten(), lopsided(nn.Linear(10, 8)), nn.ReLU(), nn.Linear(8, 4))


def straight_to_the_head() -> list[nn.Module]:
    return of_images(nn.Flatten(), nn.Linear(10, 4), pool=nn.AvgPool2d((2, 2), stride=(2, 2)))


def pooled() -> list[nn.Module]:
    return of_images(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4), pool=nn.MaxPool2d(3, stride=2, padding=1))


def residual() -> list[nn.Module]:
    conv = lambda *size, **more: lopsided(nn.Conv2d(*size, padding=1, **more))
    block = Sum(nn.Sequential(conv(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 3, 3)))
    wider = Sum(nn.Sequential(conv(3, 5, 3, stride=2), nn.ReLU()), nn.Conv2d(3, 5, 1, stride=2))
    return [conv(2, 3, 3), nn.ReLU(), block, wider, MeanOverPositions(), nn.Linear(5, 4)]


def of_sequences() -> list[nn.Module]:
    conv = lambda *size, **more: lopsided(nn.Conv1d(*size, **more))
    return [conv(2, 3, 3), nn.Tanh(), conv(3, 4, 2, stride=2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 4)]


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (of_vectors, (12,)),
        (inputs_first, (12,)),
        (flattened, (2, 6, 5)),
        (straight_to_the_head, (2, 6, 5)),
        (pooled, (2, 6, 5)),
        (residual, (2, 6, 5)),
        (of_sequences, (2, 14)),
    ],
)
def test_scale_and_spread_are_those_of_the_jacobian(layers: Callable[[], list[nn.Module]], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*layers()).double()
    x, target = torch.randn(3, *shape, dtype=torch.float64), torch.tensor([0, 1, 2])
    told = isogain.check(model, (x, target), F.cross_entropy).flow["jacobian"]
    body = model[1:-1]
    whole = torch.autograd.functional.jacobian(body, model[0](x))
    assert isinstance(whole, Tensor)
    end = body(model[0](x)).numel()
    whole = whole.reshape(end, -1)
    gram = whole @ whole.T
    log_gain = 0.5 * math.log(float(gram.trace()) / whole.shape[1])
    spread = end * float(gram.square().sum()) / float(gram.trace()) ** 2
    assert "left_out" not in told, told
    assert abs(told["log_gain"] - log_gain) < max(4 * told["log_gain_error"], 1e-3), (told["log_gain"], log_gain)
    assert abs(told["spread"] - spread) < 4 * told["spread_error"] + 0.02 * spread, (told["spread"], spread)


def test_paths_through_convolutions_are_told() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*residual())
    batch = (torch.randn(3, 2, 6, 5), torch.tensor([0, 1, 2]))
    paths = isogain.check(model, batch, F.cross_entropy).flow["path_lengths"]
    assert paths["branches"] == 2 and math.isclose(sum(paths["energy"]), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize("inner", [lambda: nn.Conv2d(3, 3, 3, groups=3), lambda: nn.Conv2d(3, 3, 2, dilation=2), lambda: nn.AvgPool2d(2, padding=1)])
def test_what_cannot_be_followed_is_named(inner: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), inner(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    batch = (torch.randn(3, 2, 8, 8), torch.tensor([0, 1, 2]))
    assert "cannot be followed" in isogain.check(model, batch, F.cross_entropy).flow["jacobian"]["left_out"]
