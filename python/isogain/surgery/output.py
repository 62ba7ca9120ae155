"""Takes away the activation after a head, so that the loss gets bare sums."""

from __future__ import annotations

from torch import nn

from isogain.surgery.activation import all_paths
from isogain.surgery.code import Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.observe import Layout
from isogain.surgery.steps import Replace, Step


def steps(model: nn.Module, layout: Layout) -> list[Step]:
    """Puts an identity in the place of every activation between a head and the output."""
    change = "output_activation = none"
    last = layout.output_activations()
    if not last:
        raise CannotApply(change, "no activation comes after the head")
    functions = [activation.inside or "the model itself" for activation in last if activation.module is None]
    if functions:
        raise CannotApply(
            change, "the output goes through a function; remove it from the model's forward", functions[0]
        )
    modules = [activation.module for activation in last if activation.module is not None]
    shared = {activation.module for activation in layout.hidden_activations()}.intersection(modules)
    if shared:
        raise CannotApply(change, "the same module is also a hidden activation", ", ".join(sorted(map(str, shared))))
    kind = {path: type(model.get_submodule(path)).__name__ for path in all_paths(model, modules)}
    return [Replace([path], Call(nn.Identity), kind[path], "is taken away") for path in kind]
