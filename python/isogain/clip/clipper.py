"""What the clippers with a memory have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from isogain.clip.gradients import EPS, Parameters, collect, wide
from isogain.clip.report import Report, nothing, one_factor


class Clipper(ABC):
    """Called like the functions; its state can be saved and loaded, and a run resumed is the same run."""

    method: str

    @abstractmethod
    def __call__(
        self, parameters: Parameters, *, error_if_nonfinite: bool = False, foreach: bool | None = None
    ) -> Report:
        """Clips the gradients of `parameters` in place."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What the next call depends on, as CPU tensors and numbers; settings are not in it."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state`."""

    def _check_keys(self, state: dict[str, Any]) -> None:
        expected, given = sorted(self.state_dict()), sorted(state)
        if expected != given:
            name = type(self).__name__
            raise ValueError(f"{name}.load_state_dict: the state has keys {given}; {name} has {expected}")


class GlobalNormClipper(Clipper):
    """Clips all gradients by one threshold, which a subclass learns from the norms so far.

    The norm is the L2 norm of all gradients together. Where it is not above the threshold, or not finite, the
    gradients are left as they are, bit for bit.
    """

    @torch.no_grad()
    def __call__(
        self, parameters: Parameters, *, error_if_nonfinite: bool = False, foreach: bool | None = None
    ) -> Report:
        gradients = collect(parameters, foreach)
        if not gradients.tensors:
            return nothing(self.method, float("inf"))
        _, total = gradients.norms(error_if_nonfinite=error_if_nonfinite)
        norm = total.to(wide(total.device))
        threshold = self._learn(norm)
        factor = shrink(norm, threshold)
        gradients.scale_(factor)
        return one_factor(self.method, norm, factor, threshold)

    @abstractmethod
    def _learn(self, norm: Tensor) -> Tensor:
        """The threshold for a gradient of this norm, both scalars on its device; takes note of a finite norm."""


def shrink(norm: Tensor, threshold: Tensor) -> Tensor:
    """The factor that brings a finite norm above the threshold down to it; 1 otherwise."""
    return torch.where((norm > threshold) & norm.isfinite(), threshold / (norm + EPS), 1.0)
