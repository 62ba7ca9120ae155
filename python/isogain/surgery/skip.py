"""Skip connections y = x + scale F(x) where the shape allows.

In a `Sequential`, F is a run of norm, activation and layer that keeps the shape: it begins with the activation, so
that the sum itself is never squashed. Elsewhere F is a submodule that keeps its shape. Nothing is wrapped that the
signal can already pass by: with the candidate's weights at zero, the model's output must not depend on its input any
more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isogain.surgery.code import OLD, Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.modules import Skip, run
from isogain.surgery.names import is_norm, module_name
from isogain.surgery.norm import untouchable
from isogain.surgery.observe import Layout, is_weighted, tensors_in, untouched
from isogain.surgery.steps import Do, Replace, Step


def fold(model: nn.Module, name: str, spans: list[tuple[int, int]], scale: float, learnable: bool) -> None:
    """Makes each span [first, last) of a Sequential the branch of a skip connection."""
    sequential: Any = model.get_submodule(name)
    parts, at = list(sequential), 0
    sequential._modules.clear()
    for first, last in [*spans, (len(parts), len(parts))]:
        for part in parts[at:first]:
            sequential.append(part)
        if first < last:
            sequential.append(Skip(nn.Sequential(*parts[first:last]), scale, learnable))
        at = last


@dataclass
class _Place:
    """A branch to be: a submodule, or a span of a Sequential."""

    path: str
    layers: list[str]
    span: tuple[int, int] | None = None


def steps(model: nn.Module, layout: Layout, skip: Mapping[str, Any], inputs: Any) -> list[Step]:
    """Wraps what keeps its shape. `scale` is a number, or `depth` for 1/sqrt(number of branches)."""
    if inputs is None:
        raise CannotApply("skip", "needs a batch, to see which shapes are kept")
    if skip.get("per_channel"):
        raise CannotApply("skip", "a factor for each channel has to be made in the model's own code")
    if skip.get("gate_bias") is not None:
        raise CannotApply("skip", "a gate has weights of its own, and has to be made in the model's own code")
    if skip.get("dropped"):
        raise CannotApply("skip", "samples that leave a branch out have to be made in the model's own code")
    if skip.get("growth") is not None:
        raise CannotApply("skip", "layers that read all before them are wider, and have to be made in the model's own code")
    finder = _Finder(model, layout)
    places = [place for place in finder.places(model, "") if not _has_way_around(model, place, inputs)]
    if not places:
        why = "no hidden layer that can be wrapped keeps the shape of its input"
        if finder.candidates:
            why = (
                "what keeps its shape already has a way around it; scale those skip connections in the model's own code"
            )
        raise CannotApply("skip", why)
    scale = 1.0 / math.sqrt(len(places)) if skip.get("scale") == "depth" else float(skip.get("scale", 1.0))
    learnable = bool(skip.get("learnable", False))
    told = f"x + {scale:.4g} * F(x)" + (", the factor learnable" if learnable else "")
    options = {"learnable": True} if learnable else {}

    def kind(path: str) -> str:
        return type(model.get_submodule(path)).__name__

    found: list[Step] = []
    folded: dict[str, list[_Place]] = {}
    for place in places:
        if place.span is None:
            found.append(
                Replace(
                    [place.path], Call(Skip, OLD, scale, **options), kind(place.path), f"gets a skip connection {told}"
                )
            )
        else:
            folded.setdefault(place.path, []).append(place)
    for path, group in folded.items():
        what = f"gets a skip connection {told} around it and the activation before it"
        lines = [(layer, kind(layer), what) for p in group for layer in p.layers]
        found.append(Do(Call(fold, path, [p.span for p in group], scale, learnable), lines))
    # Inner paths first: folding renumbers the children of a Sequential.
    return sorted(found, key=lambda step: -len(step.names[0].split(".")) if isinstance(step, Replace) else 0)


class _Finder:
    def __init__(self, model: nn.Module, layout: Layout) -> None:
        self.layout = layout
        self.hidden = {layer.path: layer for layer in layout.hidden()}
        self.untouchable = untouchable(model)
        first = next((layer.path for layer in layout.layers if layer.path in self.hidden), None)
        self.stem = first
        self.candidates = 0

    def places(self, module: nn.Module, path: str) -> list[_Place]:
        """What may be wrapped inside a module that is not wrapped itself."""
        if isinstance(module, nn.Sequential):
            return self.in_sequential(module, path)
        found = []
        for name, child in module.named_children():
            found += self.of_child(child, f"{path}.{name}" if path else name)
        return found

    def of_child(self, child: nn.Module, path: str) -> list[_Place]:
        if path in self.untouchable:
            return []
        layers = self.weighted(child, path)
        is_container = isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        inside = self.places(child, path) if is_container and layers else []
        if not inside and self.is_wrappable(path, layers):
            self.candidates += 1
            return [_Place(path, layers)]
        return inside if is_container else self.places(child, path) if layers else []

    def in_sequential(self, sequential: nn.Sequential, path: str) -> list[_Place]:
        found: list[_Place] = []
        start: int | None = None
        for at, child in enumerate(sequential):
            name = f"{path}.{list(sequential._modules)[at]}" if path else list(sequential._modules)[at]
            layers = self.weighted(child, name)
            if not layers:
                begins = is_norm(child) or module_name(child) is not None or isinstance(child, nn.Sequential)
                start = at if start is None and begins else start
                continue
            if is_weighted(child) and start is not None and self.is_wrappable(name, layers):
                self.candidates += 1
                found.append(_Place(path, layers, (start, at + 1)))
            elif not is_weighted(child):
                found += self.of_child(child, name)
            start = None
        return found

    def weighted(self, module: nn.Module, path: str) -> list[str]:
        inside = ((f"{path}.{name}" if name else path) for name, part in module.named_modules() if is_weighted(part))
        return [name for name in inside if name in self.hidden or name in self.layout.heads]

    def is_wrappable(self, path: str, layers: list[str]) -> bool:
        hidden_only = all(layer in self.hidden and layer != self.stem for layer in layers)
        return bool(layers) and hidden_only and self.layout.keeps_shape.get(path, False)


def _has_way_around(model: nn.Module, place: _Place, inputs: Any) -> bool:
    """Whether the output still depends on the input when the branch passes nothing on."""
    other = _reordered(inputs)
    weights = [p for layer in place.layers for p in model.get_submodule(layer).parameters()]
    kept = [p.detach().clone() for p in weights]
    with untouched(model):
        try:
            for p in weights:
                p.zero_()
            outputs = [torch.cat([t.flatten().double() for t in tensors_in(run(model, x))]) for x in (inputs, other)]
        finally:
            for p, value in zip(weights, kept):
                p.copy_(value)
    return not torch.equal(*outputs)


def _reordered(inputs: Any) -> Any:
    """The batch back to front: other inputs of the same kind."""
    if isinstance(inputs, Tensor):
        return inputs.flip(0)
    if isinstance(inputs, Mapping):
        return {key: _reordered(value) for key, value in inputs.items()}
    return type(inputs)(_reordered(value) for value in inputs) if isinstance(inputs, tuple | list) else inputs
