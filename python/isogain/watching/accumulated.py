"""Gradients as backward passes leave them, where no optimizer's hook shows them.

Without an optimizer the user may have one of their own that frees gradients as soon as they are there; with a loss
scaler the optimizer's step is left out when a gradient overflows, and so is its hook.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.hooks import RemovableHandle

from isogain.watching.parameters import Parameters

__all__ = ["AccumulatedGradients"]


class AccumulatedGradients:
    """Hooks on parameters, there at measured steps only."""

    def __init__(self, parameters: Parameters, guarded: Callable[[str, Callable[[], None]], None]) -> None:
        self._parameters = parameters
        self._guarded = guarded
        self._handles: list[RemovableHandle] = []

    def install(self, wanted: bool) -> None:
        """Puts the hooks in place or takes them away."""
        if wanted == bool(self._handles):
            return
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if wanted:
            for place in self._parameters.places(None):
                tensor = self._parameters.tensors[place]
                register = tensor.register_post_accumulate_grad_hook
                self._handles.append(register(self._hook(place)))  # type: ignore[no-untyped-call]

    def _hook(self, place: int) -> Callable[[torch.Tensor], None]:
        def hook(parameter: torch.Tensor) -> None:
            self._guarded("gradients", lambda: self._parameters.read_accumulated(place))

        return hook
