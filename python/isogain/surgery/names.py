"""Activations and normalisations: PyTorch's names for them, and the core's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from isogain import _core
from isogain.surgery.code import Call
from isogain.surgery.modules import Exponential, Shaped, TailoredReLU

# The modules that are an activation and nothing else, by class, with what the core calls them. Those that the core
# has no formula for stand under their nearest relative: it decides the scale of an initialiser and nothing more.
_MODULES: dict[type[nn.Module], Callable[[Any], str]] = {
    nn.ReLU: lambda m: "relu",
    nn.ReLU6: lambda m: "relu",
    nn.LeakyReLU: lambda m: f"leaky-relu(slope = {m.negative_slope})",
    nn.PReLU: lambda m: "leaky-relu(slope = 0.25)",
    nn.RReLU: lambda m: f"leaky-relu(slope = {(m.lower + m.upper) / 2})",
    nn.ELU: lambda m: f"elu(alpha = {m.alpha})",
    nn.CELU: lambda m: f"elu(alpha = {m.alpha})",
    nn.SELU: lambda m: "selu",
    nn.GELU: lambda m: "gelu",
    nn.SiLU: lambda m: "silu",
    nn.Mish: lambda m: "silu",
    nn.Hardswish: lambda m: "silu",
    nn.Hardtanh: lambda m: "hard-tanh",
    nn.Sigmoid: lambda m: "sigmoid",
    nn.Hardsigmoid: lambda m: "sigmoid",
    nn.LogSigmoid: lambda m: "softplus",
    nn.Softplus: lambda m: "softplus",
    nn.Softsign: lambda m: "softsign",
    nn.Tanh: lambda m: "tanh",
    Exponential: lambda m: "exponential",
    Shaped: lambda m: f"shaped-{m.function}(slope = {m.slope})",
    TailoredReLU: lambda m: f"tailored-relu(slope = {m.slope})",
}

# The same for functions (`torch.tanh`, `F.tanh`, `Tensor.tanh_`), by name.
_FUNCTIONS = {
    "relu": "relu",
    "relu6": "relu",
    "leaky_relu": "leaky-relu",
    "prelu": "leaky-relu(slope = 0.25)",
    "rrelu": "leaky-relu(slope = 0.2291667)",
    "elu": "elu",
    "celu": "elu",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "mish": "silu",
    "hardswish": "silu",
    "hardtanh": "hard-tanh",
    "sigmoid": "sigmoid",
    "hardsigmoid": "sigmoid",
    "logsigmoid": "softplus",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}

# The core's activations as PyTorch modules.
_MAKERS: dict[str, Callable[[Mapping[str, float]], Call]] = {
    "elu": lambda numbers: Call(nn.ELU, numbers["alpha"]),
    "exponential": lambda numbers: Call(Exponential),
    "gelu": lambda numbers: Call(nn.GELU),
    "hard-tanh": lambda numbers: Call(nn.Hardtanh),
    "leaky-relu": lambda numbers: Call(nn.LeakyReLU, numbers["slope"]),
    "linear": lambda numbers: Call(nn.Identity),
    "relu": lambda numbers: Call(nn.ReLU),
    "selu": lambda numbers: Call(nn.SELU),
    "sigmoid": lambda numbers: Call(nn.Sigmoid),
    "silu": lambda numbers: Call(nn.SiLU),
    "softplus": lambda numbers: Call(nn.Softplus),
    "softsign": lambda numbers: Call(nn.Softsign),
    "tailored-relu": lambda numbers: Call(TailoredReLU, numbers["slope"]),
    "tanh": lambda numbers: Call(nn.Tanh),
}


def written(value: str | Mapping[str, Any]) -> str:
    """A name and its numbers as the core writes them: `leaky-relu(slope = 0.2)`; a mapping with `name` is read too."""
    if isinstance(value, str):
        return value
    numbers = ", ".join(f"{key} = {number}" for key, number in value.items() if key != "name")
    return f"{value['name']}({numbers})" if numbers else str(value["name"])


def activation_maker(text: str) -> Call:
    """The module of one of the core's activations.

    Raises `ValueError` for a name that is not known, with the nearest one that is.
    """
    read = _core.activation(text)
    if read["shape"] is not None:
        return Call(Shaped, read["name"].removeprefix("shaped-"), read["parameters"]["slope"], *read["shape"])
    return _MAKERS[read["name"]](read["parameters"])


def module_name(module: nn.Module) -> str | None:
    """The activation that a module is, as the core writes it; `None` for every other module."""
    name = _MODULES.get(type(module))
    return name(module) if name else None


def functional_activation(function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """The activation that a function of this name is, as the core writes it; `None` for every other function."""
    name = _FUNCTIONS.get(function.removesuffix("_"))
    if name == "leaky-relu":
        slope = kwargs.get("negative_slope", args[1] if len(args) > 1 else 0.01)
        return f"leaky-relu(slope = {slope})"
    return name


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: torch's own, and others by the name of their class (`LlamaRMSNorm`)."""
    return "norm" in type(module).__name__.lower() and not isinstance(module, nn.Sequential)
