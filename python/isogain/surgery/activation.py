"""Another activation in the place of the hidden ones: of modules by replacing them, of functions by tracing the
model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from isogain.surgery.code import Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.names import activation_maker, functional_activation, written
from isogain.surgery.observe import Activation, Layout
from isogain.surgery.steps import Do, Replace, Step


def swap_functions(model: nn.Module, calls: list[str], module: nn.Module) -> nn.Module:
    """Traces the model and puts a module in the place of the named calls of functions."""
    traced = torch.fx.symbolic_trace(model)
    traced.add_submodule("activation", module)
    for node in list(traced.graph.nodes):
        if node.name in calls:
            with traced.graph.inserting_after(node):
                node.replace_all_uses_with(traced.graph.call_module("activation", (node.args[0],)))
            traced.graph.erase_node(node)
    traced.recompile()
    return traced.train(model.training)


def own_function(model: nn.Module, names: list[str], module: nn.Module) -> None:
    """Puts the activation in the place of the function that torch's transformer layers keep as an attribute, and leaves
    their fused path, which knows ReLU and GELU only."""
    for name in names:
        layer: Any = model.get_submodule(name)
        layer.activation = module
        layer.activation_relu_or_gelu = 0


def steps(model: nn.Module, layout: Layout, activation: str | Mapping[str, Any]) -> list[Step]:
    """Replaces every activation that does not come after a head."""
    text = written(activation)
    make = activation_maker(text)
    hidden = layout.hidden_activations()
    modules = [name for name in dict.fromkeys(a.module for a in hidden) if name is not None]
    inside = [a for a in hidden if a.module is None]
    kept = {name for name in (a.module for a in layout.output_activations()) if name in modules}
    if kept:
        raise CannotApply(
            f"activation = {text}", "the same module is also the output activation", ", ".join(sorted(kept))
        )
    if not hidden:
        raise CannotApply(f"activation = {text}", "the model has no hidden activation")
    found: list[Step] = []
    if inside:
        found += _functions(model, inside, text, make)
    paths = all_paths(model, modules)
    for name in paths:
        was = type(model.get_submodule(name)).__name__
        found.append(Replace([name], make, was, f"becomes {make}"))
    return found


def all_paths(model: nn.Module, names: list[str]) -> list[str]:
    """Every path under which the named modules are found: a module may be used in several places."""
    wanted = {model.get_submodule(name) for name in names}
    return [path for path, module in model.named_modules(remove_duplicate=False) if module in wanted]


def _functions(model: nn.Module, inside: list[Activation], text: str, make: Call) -> list[Step]:
    owners = list(dict.fromkeys(a.inside for a in inside))
    transformers = [path for path in owners if hasattr(model.get_submodule(path), "activation_relu_or_gelu")]
    found: list[Step] = []
    if transformers:
        told = [(path, type(model.get_submodule(path)).__name__, f"activation becomes {make}") for path in transformers]
        found.append(Do(Call(own_function, transformers, make), told))
    rest = [path for path in owners if path not in transformers]
    if not rest:
        return found
    change, where = f"activation = {text}", ", ".join(path or "the model itself" for path in rest)
    called = sum(a.inside in rest for a in inside)
    try:
        calls = _traced_calls(model)
    except Exception as error:  # torch.fx raises whatever the model's own code does with a proxy
        why = f"{called} calls of a function such as torch.relu, and the model cannot be traced: {error}"
        raise CannotApply(change, why, where) from error
    if len(calls) != called:
        why = (
            f"{called} calls of a function such as torch.relu, of which tracing finds {len(calls)}; use modules instead"
        )
        raise CannotApply(change, why, where)
    told = [(where, f"{called} function calls", f"become {make}, in a traced model")]
    return [*found, Do(Call(swap_functions, calls, make), told, gives_model=True)]


def _traced_calls(model: nn.Module) -> list[str]:
    """Names of the traced calls of activation functions; of a model that is the same in training and evaluation,
    because tracing fixes which of the two it is."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        graphs = [str(torch.fx.symbolic_trace(model.train(mode)).graph) for mode in (True, False)]
    finally:
        for module, mode in modes:
            module.training = mode
    if graphs[0] != graphs[1]:
        raise ValueError("its forward reads self.training (F.dropout?), which tracing would fix")
    found = []
    for node in fx.symbolic_trace(model).graph.nodes:
        if node.op in ("call_function", "call_method"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
            if functional_activation(name, (), {}) is not None:
                found.append(node.name)
    return found
