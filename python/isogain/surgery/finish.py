"""Drawn weights scaled by passes over a batch, where no formula is to say what a layer makes of its inputs.

The functions become part of the snippet that does the same without isogain, so they use nothing but torch and each other;
what they cannot do they say with a `RuntimeError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from isogain.surgery.code import Call
from isogain.surgery.modules import run
from isogain.surgery.steps import Do, Draw, Step


def lsuv(model: nn.Module, inputs: Any, names: list[str]) -> None:
    """Layer by layer, divides each weight by the deviation of its layer's output on the inputs until the variance is
    within 10 % of 1, at most ten times (Mishkin and Matas 2016)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    seen: list[float] = []
    handles: list[Any] = []
    try:
        with torch.no_grad():
            for name in names:
                layer: Any = model.get_submodule(name)
                handles.append(
                    layer.register_forward_hook(lambda module, args, output: seen.append(float(output.double().var())))
                )
                for _ in range(10):
                    seen.clear()
                    run(model, inputs)
                    variance = seen[0] if seen else 0.0
                    if not 0.0 < variance < float("inf") or abs(variance - 1.0) <= 0.1:
                        break
                    layer.weight.div_(variance**0.5)
                handles.pop().remove()
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def signed_sum(outputs: Any, signs: torch.Generator) -> Any:
    """Sum of every number that can be differentiated, each with a random sign."""
    if isinstance(outputs, torch.Tensor):
        if not outputs.requires_grad:
            return 0.0
        return (outputs * (2 * torch.randint(2, outputs.shape, generator=signs) - 1).to(outputs)).sum()
    if hasattr(outputs, "values"):
        outputs = list(outputs.values())
    return sum(signed_sum(part, signs) for part in outputs) if isinstance(outputs, (tuple, list)) else 0.0


def gradient_lengths(model: nn.Module, inputs: Any, names: list[str], is_checked: bool) -> list[float]:
    """Length of a gradient at the output of each named layer, sent back from the model's outputs with random signs.

    Raises `RuntimeError` for a layer that no gradient comes back to, and where `is_checked` for layers that are no single
    chain, in which all that comes back to one passed the next one."""
    seen: list[list[Any]] = [[] for _ in names]

    def watch(place: int) -> Any:
        def see(module: nn.Module, args: Any, output: Any) -> Any:
            if isinstance(output, torch.Tensor) and output.requires_grad:
                seen[place].append(output)
                return output.clone()  # which may be written to by what follows
            return None

        return model.get_submodule(names[place]).register_forward_hook(see)

    why = "the layers are no single chain"
    handles: list[Any] = []
    try:
        handles += [watch(place) for place in range(len(names))]
        with torch.enable_grad():
            total = signed_sum(run(model, inputs), torch.Generator().manual_seed(0))
    finally:
        for handle in handles:
            handle.remove()
    for name, calls in zip(names, seen):
        if len(calls) != 1:
            raise RuntimeError(f"{why}: {name} was called {len(calls)} times with a gradient")
    outputs = [calls[0] for calls in seen]
    if not isinstance(total, torch.Tensor):
        raise RuntimeError("no output of the model can be differentiated")
    gradients = torch.autograd.grad(total, outputs, retain_graph=is_checked, allow_unused=True)
    for name, gradient in zip(names, gradients):
        if gradient is None:
            raise RuntimeError(f"{why}: no gradient comes back to {name}")
    for place in range(1, len(names) if is_checked else 0):
        passed = torch.autograd.grad(
            outputs[place], outputs[place - 1], gradients[place], retain_graph=True, allow_unused=True
        )[0]
        whole = gradients[place - 1].double()
        if passed is None:
            raise RuntimeError(f"{why}: {names[place]} does not read what {names[place - 1]} gives")
        if float((passed.double() - whole).norm()) > 0.01 * float(whole.norm()):
            raise RuntimeError(f"{why}: what {names[place - 1]} gives goes past {names[place]}")
    return [float(gradient.double().norm()) for gradient in gradients]


def unit_jacobian(model: nn.Module, inputs: Any, names: list[str]) -> None:
    """Gives the first layer's output variance 1 on the inputs, then divides each of the others by the factor of a
    gradient's length from its output to that of the layer before it, until all are within 1 % of 1, at most fifty
    times (He, Doshi and Gromov 2022, with random signs at the outputs).

    Raises `RuntimeError`, and leaves modes and weights as they were, for layers that are no single chain, and where a
    factor is beyond 2 after all of them."""
    layers: list[Any] = [model.get_submodule(name) for name in names]
    before = [layer.weight.detach().clone() for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    is_done = False
    model.eval()
    try:
        gradient_lengths(model, inputs, names, is_checked=True)
        lsuv(model, inputs, names[:1])
        for passes in range(51):
            lengths = gradient_lengths(model, inputs, names, is_checked=False)
            is_level = True
            for name, layer, behind, ahead in zip(names[1:], layers[1:], lengths, lengths[1:]):
                factor = behind / ahead if ahead > 0.0 else 0.0
                if not 0.0 < factor < float("inf"):
                    raise RuntimeError(f"the gradient at {name} or before it is zero or not finite")
                if passes == 50 and not 0.5 < factor < 2.0:
                    raise RuntimeError(f"{name} stretches a gradient by {factor:.3g} still after fifty passes")
                if passes < 50 and abs(factor - 1.0) > 0.01:
                    is_level = False
                    with torch.no_grad():
                        layer.weight.div_(factor)
            if is_level:
                break
        for name, layer in zip(names, layers):
            if not torch.isfinite(layer.weight).all():
                raise RuntimeError(f"the weight of {name} is not finite")
        is_done = True
    finally:
        if not is_done:
            with torch.no_grad():
                for layer, weight in zip(layers, before):
                    layer.weight.copy_(weight)
        for module, mode in modes:
            module.training = mode


_DEVIATION = "divided by the deviation of its layer's output on the batch"
# The function, and what it does to the first layer and to all others.
_FINISH: dict[str, tuple[Callable[..., None], str, str]] = {
    "unit-variance": (lsuv, _DEVIATION, _DEVIATION),
    "unit-jacobian": (unit_jacobian, _DEVIATION, "divided by what it stretches a gradient on the batch"),
}


def steps(draws: list[Step], prefix: str) -> list[tuple[str, Step]]:
    """The passes over a batch that finish what was drawn, each with the scheme that asks for it; names get a prefix where
    the model was wrapped since."""
    found: list[tuple[str, Step]] = []
    for kind, (function, first, others) in _FINISH.items():
        drawn = [draw for draw in draws if isinstance(draw, Draw) and draw.finish == kind]
        names = [prefix + name for draw in drawn for name in draw.names]
        if names:
            told = [(name, "weight", others if place else first) for place, name in enumerate(names)]
            found.append((drawn[0].scheme, Do(Call(function, names), told, inputs="inputs")))
    return found
