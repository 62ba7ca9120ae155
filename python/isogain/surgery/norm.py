"""A normalisation between each hidden layer and its activation."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from isogain.surgery.activation import all_paths
from isogain.surgery.code import OLD, Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.modules import BatchRenorm, GhostBatchNorm, renormalised, split
from isogain.surgery.observe import Layer, Layout, is_transposed
from isogain.surgery.steps import Replace, Step

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def steps(model: nn.Module, layout: Layout, text: str) -> list[Step]:
    """Inserts `batch`, `batch-renorm(ramp = 100)`, `layer`, `rms` or `group(groups = 8)` norms. Where a layer's activation is
    a module of its own, the norm goes in front of that module, so that no parameter of the model changes its name; else
    behind the layer. A layer that a norm follows is left alone; all others take the place of batch norms, but for frozen ones,
    and `batch(ghost = 64)` goes nowhere else."""
    read = re.fullmatch(r"(batch|layer|rms)|(?:(group)\(groups|(batch-renorm)\(ramp|batch\((ghost)) = (\d+)\)", text)
    if read is None:
        known = "batch, batch-renorm(ramp = 100), layer, rms, group(groups = 8), batch(ghost = 64)"
        raise CannotApply(f"norm = {text}", f"unknown; known: {known}")
    kind, number = read[1] or read[2] or read[3] or read[4], int(read[5] or 1)
    what, least = {"batch-renorm": ("ramp", 1), "ghost": ("ghost", 2)}.get(kind, ("groups", 1))
    if number < least and read[5]:
        raise CannotApply(f"norm = {text}", f"{what} must be at least {least}")
    if kind != "batch":
        replaced = _instead_of_batch_norms(model, kind, number)
        if replaced:
            return replaced
    if kind == "ghost":
        raise CannotApply(f"norm = {text}", "there is no batch norm whose batch could be taken in parts")
    found: list[Step] = []
    done: set[int] = set()
    closed = untouchable(model)
    for layer in layout.hidden():
        if layer.follower is None or layer.normed or layer.path in closed:
            continue
        if id(layer.follower) in done:
            continue
        done.add(id(layer.follower))
        norm = _norm(kind, number, layer)
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


def _place(weight: Any) -> dict[str, Any]:
    """Device and type of a weight where they are not torch's own choice."""
    place: dict[str, Any] = {}
    if weight is not None and weight.device.type != "cpu":
        place["device"] = str(weight.device)
    if weight is not None and str(weight.dtype) != "torch.float32":
        place["dtype"] = weight.dtype
    return place


def _norm(kind: str, number: int, layer: Layer) -> Call:
    """`number` is that of the kind: groups, or the ramp."""
    module: Any = layer.module
    place = _place(module.weight)
    if isinstance(module, nn.Linear) or is_transposed(module):
        features = module.nf if is_transposed(module) else module.out_features
        if kind == "layer":
            return Call(nn.LayerNorm, features, **place)
        if kind == "rms":
            return Call(nn.RMSNorm, features, **place)
        if layer.output_dimensions != 2:
            why = f"its output has {layer.output_dimensions} axes; {kind} norm of a Linear needs [batch, features]"
            raise CannotApply(f"norm = {kind}", why, layer.path)
        if kind == "batch-renorm":
            return Call(BatchRenorm, features, number, **place)
        if kind == "group":
            return Call(nn.GroupNorm, _grouped(number, features, layer.path), features, **place)
        return Call(nn.BatchNorm1d, features, **place)
    if kind in ("layer", "group"):
        # One group is layer norm.
        return Call(nn.GroupNorm, _grouped(number, module.out_channels, layer.path), module.out_channels, **place)
    if kind == "batch-renorm":
        return Call(BatchRenorm, module.out_channels, number, **place)
    if kind == "rms":
        raise CannotApply("norm = rms", "torch has no RMS norm over the channels of a convolution", layer.path)
    spatial = module.weight.ndim - 2
    return Call(_BATCH_NORMS[spatial - 1], module.out_channels, **place)


def _instead_of_batch_norms(model: nn.Module, kind: str, number: int) -> list[Step]:
    found: list[Step] = []
    for path, module in model.named_modules():
        if isinstance(module, _BATCH_NORMS) and not _is_frozen(module):
            if kind == "rms" and not isinstance(module, nn.BatchNorm1d):
                raise CannotApply("norm = rms", "torch has no RMS norm over the channels of a convolution", path)
            like = module.weight if module.weight is not None else module.running_mean
            features, place = module.num_features, _place(like)
            make: Call | None = None
            if kind == "rms":
                norm = Call(nn.RMSNorm, features, **place)
            elif kind == "batch-renorm":
                norm = Call(BatchRenorm, features, number, module.eps, **place)
                make = Call(renormalised, OLD, number)
            elif kind == "ghost":
                norm = Call(GhostBatchNorm, features, number, module.eps, **place)
                make = Call(split, OLD, number)
            elif kind == "layer" and isinstance(module, nn.BatchNorm1d):
                norm = Call(nn.LayerNorm, features, **place)
            else:
                norm = Call(nn.GroupNorm, _grouped(number, features, path), features, **place)
            found.append(Replace(all_paths(model, [path]), make or norm, type(module).__name__, f"becomes {norm}"))
    return found


def _is_frozen(norm: nn.Module) -> bool:
    """Whether it has parameters, and none of them is trained."""
    parameters = list(norm.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


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
