"""A normalisation between each hidden layer and its activation."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from isogain.surgery.activation import all_paths
from isogain.surgery.code import OLD, Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.observe import Layer, Layout, is_transposed
from isogain.surgery.steps import Replace, Step

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def steps(model: nn.Module, layout: Layout, text: str) -> list[Step]:
    """Inserts `batch`, `layer`, `rms` or `group(groups = 8)` norms. Where a layer's activation is a module of its own, the norm goes in
    front of that module, so that no parameter of the model changes its name; else behind the layer. A layer that a
    norm follows is left alone; all others take the place of batch norms."""
    read = re.fullmatch(r"(batch|layer|rms)|(group)\(groups = (\d+)\)", text)
    if read is None:
        raise CannotApply(f"norm = {text}", "unknown; known: batch, layer, rms, group(groups = 8)")
    kind, groups = read[1] or read[2], int(read[3] or 1)
    if kind != "batch":
        replaced = _instead_of_batch_norms(model, kind, groups)
        if replaced:
            return replaced
    found: list[Step] = []
    done: set[int] = set()
    closed = untouchable(model)
    for layer in layout.hidden():
        if layer.follower is None or layer.normed or layer.path in closed:
            continue
        if id(layer.follower) in done:
            continue
        done.add(id(layer.follower))
        norm = _norm(kind, groups, layer)
        before = layer.follower.module
        if before is not None and layout.calls_of(before) == 1 and len(all_paths(model, [before])) == 1:
            found.append(
                Replace([before], Call(nn.Sequential, norm, OLD), _kind(model, before), f"gets {norm} in front")
            )
        else:
            paths = all_paths(model, [layer.path])
            found.append(
                Replace(paths, Call(nn.Sequential, OLD, norm), _kind(model, layer.path), f"gets {norm} behind")
            )
    if not found:
        raise CannotApply(
            f"norm = {text}", "no hidden layer that an activation follows without a normalisation in between"
        )
    return found


def _kind(model: nn.Module, path: str) -> str:
    return type(model.get_submodule(path)).__name__


def _grouped(groups: int, channels: int, path: str) -> int:
    if channels % groups:
        raise CannotApply(f"norm = group(groups = {groups})", f"{groups} groups do not divide {channels} channels", path)
    return groups


def _norm(kind: str, groups: int, layer: Layer) -> Call:
    module: Any = layer.module
    place = {"device": str(module.weight.device), "dtype": module.weight.dtype}
    if module.weight.device.type == "cpu":
        del place["device"]
    if str(module.weight.dtype) == "torch.float32":
        del place["dtype"]
    if isinstance(module, nn.Linear) or is_transposed(module):
        features = module.nf if is_transposed(module) else module.out_features
        if kind == "layer":
            return Call(nn.LayerNorm, features, **place)
        if kind == "rms":
            return Call(nn.RMSNorm, features, **place)
        if layer.output_dimensions != 2:
            why = f"its output has {layer.output_dimensions} axes; {kind} norm of a Linear needs [batch, features]"
            raise CannotApply(f"norm = {kind}", why, layer.path)
        if kind == "group":
            return Call(nn.GroupNorm, _grouped(groups, features, layer.path), features, **place)
        return Call(nn.BatchNorm1d, features, **place)
    if kind in ("layer", "group"):
        # One group is layer norm.
        return Call(nn.GroupNorm, _grouped(groups, module.out_channels, layer.path), module.out_channels, **place)
    if kind == "rms":
        raise CannotApply("norm = rms", "torch has no RMS norm over the channels of a convolution", layer.path)
    spatial = module.weight.ndim - 2
    return Call(_BATCH_NORMS[spatial - 1], module.out_channels, **place)


def _instead_of_batch_norms(model: nn.Module, kind: str, groups: int) -> list[Step]:
    found: list[Step] = []
    for path, module in model.named_modules():
        if isinstance(module, _BATCH_NORMS):
            if kind == "rms" and not isinstance(module, nn.BatchNorm1d):
                raise CannotApply("norm = rms", "torch has no RMS norm over the channels of a convolution", path)
            features = module.num_features
            if kind == "rms":
                norm = Call(nn.RMSNorm, features)
            elif kind == "layer" and isinstance(module, nn.BatchNorm1d):
                norm = Call(nn.LayerNorm, features)
            else:
                norm = Call(nn.GroupNorm, _grouped(groups, features, path), features)
            found.append(Replace(all_paths(model, [path]), norm, type(module).__name__, f"becomes {norm}"))
    return found


def untouchable(model: nn.Module) -> set[str]:
    """Layers inside torch's own composite modules (attention, transformer layers), which read their weights
    directly."""
    return {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if type(module).__module__.startswith("torch.nn.modules")
        and not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        for name, _ in module.named_modules()
        if name
    }
