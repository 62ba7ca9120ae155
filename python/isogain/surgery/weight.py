"""Weights of hidden layers computed from what is trained, through torch's parametrizations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from isogain.surgery.code import Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.norm import untouchable
from isogain.surgery.observe import Layout
from isogain.surgery.steps import Do, Step

_KNOWN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class UnitByUnit(nn.Module):
    """Weights that are computed for each unit from V, `[out, in, ...]`, and a gain of its own."""

    def __init__(self, weight: torch.Tensor, gain: float) -> None:
        super().__init__()
        shape = (len(weight), *(1 for _ in weight.shape[1:]))
        self.gain = nn.Parameter(torch.full(shape, gain, dtype=weight.dtype, device=weight.device))


class Standardised(UnitByUnit):
    """Scaled weight standardisation (Brock et al. 2021): gain (V - mean V) / |V - mean V|."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        centred = weight - weight.flatten(1).mean(1).view_as(self.gain)
        square = centred.flatten(1).square().sum(1).view_as(self.gain)
        return self.gain * centred * square.clamp_min(1e-4).rsqrt()


class Normalised(UnitByUnit):
    """gain V / |V| (Salimans & Kingma 2016)."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        square = weight.flatten(1).square().sum(1).view_as(self.gain)
        return self.gain * weight * square.clamp_min(1e-24).rsqrt()


class Spectral(nn.Module):
    """gain V / s with one gain, s being V's largest singular value as 15 power iterations find it; V is `[out, in, ...]`.
    Each search begins from the same direction, so that no state is kept and no random number drawn."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, dtype=weight.dtype, device=weight.device))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        matrix = weight.flatten(1)
        with torch.no_grad():
            places = torch.arange(len(matrix), dtype=weight.dtype, device=weight.device)
            units = nn.functional.normalize(1 + 0.5 * torch.sin(1.7 * places), dim=0)
            for _ in range(15):
                inputs = nn.functional.normalize(matrix.T @ units, dim=0)
                units = nn.functional.normalize(matrix @ inputs, dim=0)
        return self.gain * weight / (units @ matrix @ inputs)


def standardise_weights(model: nn.Module, names: list[str], gain: float) -> None:
    """Standardises the weights of the named layers."""
    _compute(model, names, lambda weight: Standardised(weight, gain))


def normalise_weights(model: nn.Module, names: list[str], gain: float) -> None:
    """Divides each unit's weights in the named layers by their norm, and gives it a gain."""
    _compute(model, names, lambda weight: Normalised(weight, gain))


def separate_lengths(model: nn.Module, names: list[str]) -> None:
    """Trains direction and length of each unit's weights in the named layers apart, from where they are."""
    for name in names:
        nn.utils.parametrizations.weight_norm(model.get_submodule(name))


def spectral_norms(model: nn.Module, names: list[str]) -> None:
    """Divides the weights of the named layers by their largest singular value."""
    _compute(model, names, Spectral)


def _compute(model: nn.Module, names: list[str], how: Callable[[torch.Tensor], nn.Module]) -> None:
    for name in names:
        layer: Any = model.get_submodule(name)
        nn.utils.parametrize.register_parametrization(layer, "weight", how(layer.weight))


def steps(model: nn.Module, layout: Layout, text: str) -> list[Step]:
    """Computes the weights of hidden layers as `norm`, `spectral`, `standardised(gain = ...)` or `normalised(gain = ...)`
    says."""
    read = re.fullmatch(r"(norm|spectral)|(standardised|normalised)\(gain = ([-+.e\d]+)\)", text)
    if read is None:
        why = "unknown; known: norm, spectral, standardised(gain = 1.7), normalised(gain = 1.4)"
        raise CannotApply(f"weight_norm = {text}", why)
    closed = untouchable(model)
    names = list(
        dict.fromkeys(
            layer.path
            for layer in layout.hidden()
            if type(layer.module) in _KNOWN and layer.path not in closed and layer.module.weight.requires_grad
        )
    )
    if not names:
        why = "no hidden Linear or convolution whose weights are trained themselves"
        raise CannotApply(f"weight_norm = {text}", why)
    if read[1]:
        call = Call(separate_lengths if read[1] == "norm" else spectral_norms, names)
    else:
        call = Call(standardise_weights if read[2] == "standardised" else normalise_weights, names, float(read[3]))
    told = [
        (name, type(model.get_submodule(name)).__name__, f"computes its weight: {text}")
        for name in names
    ]
    return [Do(call, told)]
