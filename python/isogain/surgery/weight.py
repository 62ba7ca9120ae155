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
from isogain.surgery.observe import Layout, is_recurrent
from isogain.surgery.steps import Do, Step, Told

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


class Orthogonal(nn.Module):
    """The matrix with orthonormal rows, or columns where these are fewer, that is nearest to V: U R^T of V = U S R^T, times
    one gain where one is given. V is `[out, in, ...]`, or blocks of that one below the other, each by itself: the gates of a
    recurrent layer, the groups of a convolution.

    The factors count as constants, and the derivative is written out: that of the decomposition itself is infinite where
    singular values are equal, as they are here from the start."""

    def __init__(self, weight: torch.Tensor, gain: float | None, blocks: int = 1) -> None:
        super().__init__()
        self.blocks = blocks
        start = None if gain is None else torch.full((1,), gain, dtype=weight.dtype, device=weight.device)
        self.gain = None if start is None else nn.Parameter(start)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return self.nearest(weight) if self.gain is None else self.gain * self.nearest(weight)

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        """What is trained starts orthonormal itself: where V is short in a direction, W turns fast."""
        return self.nearest(weight.detach())

    def nearest(self, weight: torch.Tensor) -> torch.Tensor:
        v = weight.reshape(self.blocks, len(weight) // self.blocks, -1)
        if not torch.isfinite(v).all():
            return weight * torch.nan
        with torch.no_grad():
            wide = v.to(torch.promote_types(v.dtype, torch.float32))
            u, s, r = (part.to(v.dtype) for part in torch.linalg.svd(wide, full_matrices=False))
            s = s.clamp_min(1e-12)
        moved = v - v.detach()  # zero, and carries the gradient
        inside = u.mT @ moved @ r.mT
        turned = (inside - inside.mT) / (s[..., :, None] + s[..., None, :])
        orthogonal: torch.Tensor = u @ (turned + torch.eye(s.shape[-1], dtype=v.dtype, device=v.device)) @ r
        if v.shape[1] > v.shape[2]:
            orthogonal = orthogonal + (moved - u @ (u.mT @ moved)) @ r.mT / s[..., None, :] @ r
        elif v.shape[1] < v.shape[2]:
            orthogonal = orthogonal + u @ (u.mT @ (moved - moved @ r.mT @ r) / s[..., :, None])
        return orthogonal.reshape(weight.shape)


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
    """Divides the weights of the named layers by their largest singular value; of an attention those of queries, keys and
    values, together where they lie in one tensor, and the output's."""
    for name in names:
        layer: Any = model.get_submodule(name)
        places = [(layer, weight) for weight, _ in layer.named_parameters(recurse=False) if weight.endswith("weight")]
        if isinstance(layer, nn.MultiheadAttention):
            places.append((layer.out_proj, "weight"))
        for owner, weight in places:
            nn.utils.parametrize.register_parametrization(owner, weight, Spectral(getattr(owner, weight)))


def orthogonal_weights(model: nn.Module, names: list[str], gain: float) -> None:
    """Keeps the weights of the named layers orthogonal, group by group, times a gain for each layer."""
    for name in names:
        layer: Any = model.get_submodule(name)
        how = Orthogonal(layer.weight, gain, getattr(layer, "groups", 1))
        nn.utils.parametrize.register_parametrization(layer, "weight", how)


def orthogonal_states(model: nn.Module, names: list[str]) -> None:
    """Keeps the weights from state to state of the named recurrent layers orthogonal, gate by gate."""
    for name in names:
        layer: Any = model.get_submodule(name)
        hidden = [weight for weight, _ in layer.named_parameters(recurse=False) if weight.startswith("weight_hh")]
        for weight in hidden:
            drawn = getattr(layer, weight)
            how = Orthogonal(drawn, None, len(drawn) // layer.hidden_size)
            nn.utils.parametrize.register_parametrization(layer, weight, how)
        if isinstance(layer, nn.RNNBase):
            # It keeps a list of its weights, which would be those of an earlier step.
            kind: Any = type(layer)
            kind._flat_weights = property(lambda self: [getattr(self, name) for name in self._flat_weights_names])
            kind._flat_weights = kind._flat_weights.setter(lambda self, weights: None)
            kind._update_flat_weights = lambda self: None
            layer.__dict__.pop("_flat_weights", None)


def _compute(model: nn.Module, names: list[str], how: Callable[[torch.Tensor], nn.Module]) -> None:
    for name in names:
        layer: Any = model.get_submodule(name)
        nn.utils.parametrize.register_parametrization(layer, "weight", how(layer.weight))


def steps(model: nn.Module, layout: Layout, text: str) -> list[Step]:
    """Computes the weights of hidden layers, of attentions too where they are spectral, as `norm`, `spectral`, `standardised(gain = ...)`, `normalised(gain = ...)` or
    `orthogonal(gain = ...)` says; the last one also those from state to state."""
    read = re.fullmatch(r"(norm|spectral)|(standardised|normalised|orthogonal)\(gain = ([-+.e\d]+)\)", text)
    if read is None:
        why = "unknown; known: norm, spectral, standardised(gain = 1.7), normalised(gain = 1.4), orthogonal(gain = 1.4)"
        raise CannotApply(f"weight_norm = {text}", why)
    closed, is_spectral = untouchable(model), text == "spectral"
    names = _computed(layout, set() if is_spectral else closed, is_spectral)
    recurrent = _recurrent(layout, closed) if read[2] == "orthogonal" else []
    if not names and not recurrent:
        why = "no hidden Linear or convolution whose weights are trained themselves"
        raise CannotApply(f"weight_norm = {text}", why)
    done: list[Step] = []
    if names:
        call = Call(_PLAIN[read[1]], names) if read[1] else Call(_WITH_GAIN[read[2]], names, float(read[3]))
        done.append(Do(call, _told(model, names, f"computes its weight: {text}")))
    if recurrent:
        told = _told(model, recurrent, "keeps its weights from state to state orthogonal")
        done.append(Do(Call(orthogonal_states, recurrent), told))
    return done


_PLAIN = {"norm": separate_lengths, "spectral": spectral_norms}
_WITH_GAIN = {"standardised": standardise_weights, "normalised": normalise_weights, "orthogonal": orthogonal_weights}


def _computed(layout: Layout, closed: set[str], with_attention: bool) -> list[str]:
    """Linear layers and convolutions that train their weights themselves, and torch's own attentions."""

    def is_meant(layer: nn.Module) -> bool:
        return type(layer) in _KNOWN or (with_attention and isinstance(layer, nn.MultiheadAttention))

    def trains(layer: nn.Module) -> bool:
        weights = [value for name, value in layer.named_parameters(recurse=False) if name.endswith("weight")]
        return bool(weights) and all(value.requires_grad for value in weights)

    hidden = (x for x in layout.layers if x.path not in layout.heads and x.path not in closed)
    return list(dict.fromkeys(x.path for x in hidden if is_meant(x.module) and trains(x.module)))


def _recurrent(layout: Layout, closed: set[str]) -> list[str]:
    """Recurrent layers that train their weights from state to state themselves."""

    def trains(layer: nn.Module) -> bool:
        hidden = [value for name, value in layer.named_parameters(recurse=False) if name.startswith("weight_hh")]
        return bool(hidden) and all(value.requires_grad for value in hidden)

    found = (layer for layer in layout.layers if is_recurrent(layer.module) and layer.path not in closed)
    return list(dict.fromkeys(layer.path for layer in found if trains(layer.module)))


def _told(model: nn.Module, names: list[str], what: str) -> list[Told]:
    return [(name, type(model.get_submodule(name)).__name__, what) for name in names]
