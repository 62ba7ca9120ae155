"""What a module does, in the terms of the native half: one line of the table for each class that rules know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from isogain.surgery.modules import BatchRenorm, GhostBatchNorm

Kind = dict[str, Any]

#: Modules that hand their input on: they are no operations of the record, and only the order of things needs them.
_THROUGH: tuple[type[nn.Module], ...] = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)


def _linear(module: nn.Linear) -> Kind:
    return {"kind": "linear", "fan_in": module.in_features, "fan_out": module.out_features}


def _convolution(module: Any) -> Kind:
    positions = 1
    for size in module.kernel_size:
        positions *= int(size)
    return {
        "kind": "convolution",
        "fan_in": module.in_channels // module.groups * positions,
        "fan_out": module.out_channels,
    }


def _activation(name: str, parameter: str | None = None) -> Callable[[Any], Kind]:
    def kind(module: Any) -> Kind:
        value = None if parameter is None else float(getattr(module, parameter))
        return {"kind": "activation", "activation": name, "parameter": value}

    return kind


def _norm(norm: str, features: str) -> Callable[[Any], Kind]:
    def kind(module: Any) -> Kind:
        size = getattr(module, features)
        count = 1
        for part in size if isinstance(size, tuple) else (size,):
            count *= int(part)
        eps = module.eps
        return {"kind": "norm", "norm": norm, "features": count, "eps": float(eps) if eps is not None else 1e-6}

    return kind


def _over_batch(norm: str) -> Callable[[Any], Kind]:
    def kind(module: Any) -> Kind:
        # In evaluation mode it normalises by running averages: an affine map, no statistic of this batch.
        if module.training or module.running_mean is None:
            return _norm(norm, "num_features")(module)
        return _other(module)

    return kind


def _other(module: nn.Module) -> Kind:
    weighted = any(True for _ in module.parameters())
    return {"kind": "other", "operation": type(module).__name__, "weighted": weighted}


_KINDS: list[tuple[type[nn.Module], Callable[[Any], Kind]]] = [
    (nn.Linear, _linear),
    (nn.Conv1d, _convolution),
    (nn.Conv2d, _convolution),
    (nn.Conv3d, _convolution),
    (nn.BatchNorm1d, _over_batch("batch")),
    (nn.BatchNorm2d, _over_batch("batch")),
    (nn.BatchNorm3d, _over_batch("batch")),
    (nn.SyncBatchNorm, _over_batch("batch")),
    (BatchRenorm, _over_batch("batch-renorm")),
    (GhostBatchNorm, _over_batch("batch")),
    (nn.LayerNorm, _norm("layer", "normalized_shape")),
    (nn.ReLU, _activation("relu")),
    (nn.LeakyReLU, _activation("leaky-relu", "negative_slope")),
    (nn.ELU, _activation("elu", "alpha")),
    (nn.SELU, _activation("selu")),
    (nn.GELU, _activation("gelu")),
    (nn.SiLU, _activation("silu")),
    (nn.Sigmoid, _activation("sigmoid")),
    (nn.Tanh, _activation("tanh")),
    (nn.Hardtanh, _activation("hard-tanh")),
    (nn.Softplus, _activation("softplus")),
    (nn.Softsign, _activation("softsign")),
]
if hasattr(nn, "RMSNorm"):
    _KINDS.append((nn.RMSNorm, _norm("rms", "normalized_shape")))


def leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules whose outputs are looked at, by their cleaned names: those without children, parametrizations (weight
    norm and the like) not counted, and those that call no child of theirs (attention)."""
    whole: tuple[type[nn.Module], ...] = (nn.MultiheadAttention,)
    seen: set[int] = set()

    def walk(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if id(module) in seen:
            return
        seen.add(id(module))
        children = [(part, child) for part, child in module.named_children() if part != "parametrizations"]
        if not children or isinstance(module, whole):
            yield clean(name), module
            return
        for part, child in children:
            yield from walk(f"{name}.{part}" if name else part, child)

    yield from walk("", model)


def is_through(module: nn.Module) -> bool:
    """Whether a module is no operation of the record."""
    return isinstance(module, _THROUGH)


def kind_of(module: nn.Module) -> str:
    """What a module does, as JSON for the native half."""
    for known, kind in _KINDS:
        if isinstance(module, known):
            return json.dumps(kind(module))
    if type(module).__name__ == "Conv1D" and getattr(module, "weight", None) is not None:
        # Hugging Face's linear layer with a transposed weight.
        fan_in, fan_out = (int(size) for size in module.weight.shape)  # type: ignore[union-attr]
        return json.dumps({"kind": "linear", "fan_in": fan_in, "fan_out": fan_out})
    return json.dumps(_other(module))


def clean(name: str) -> str:
    """A module's or parameter's name without what wrappers add (DDP, torch.compile, checkpointing)."""
    wrappers = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
    parts = [part for part in name.split(".") if part not in wrappers]
    return ".".join(parts)
