"""What changes outside of the model: the optimizer's numbers and clipping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn, optim

from isogain.treat.errors import CannotApply

_CLIPS = ("value", "norm", "global-norm")


@dataclass(frozen=True)
class Clip:
    """Clipping between `loss.backward()` and `optimizer.step()`."""

    kind: str
    """`value` (each number), `norm` (each parameter's gradient), `global-norm` (all together)."""
    threshold: float

    @classmethod
    def read(cls, change: Mapping[str, Any]) -> Clip:
        """From a change; raises `CannotApply` for what is no clipping."""
        clip = cls(str(change["kind"]), float(change["threshold"]))
        if clip.kind not in _CLIPS or not clip.threshold > 0.0:
            why = f"needs a threshold above 0 and one of the kinds {', '.join(_CLIPS)}"
            raise CannotApply(f"clip = {clip.kind} {clip.threshold}", why)
        return clip

    def __call__(self, model: nn.Module) -> None:
        """Clips the gradients of all parameters in place."""
        if self.kind == "value":
            nn.utils.clip_grad_value_(model.parameters(), self.threshold)
        elif self.kind == "global-norm":
            nn.utils.clip_grad_norm_(model.parameters(), self.threshold)
        else:
            for parameter in model.parameters():
                nn.utils.clip_grad_norm_(parameter, self.threshold)

    def code(self) -> list[str]:
        """Source of the same."""
        if self.kind == "value":
            return [f"torch.nn.utils.clip_grad_value_(model.parameters(), {self.threshold!r})"]
        if self.kind == "global-norm":
            return [f"torch.nn.utils.clip_grad_norm_(model.parameters(), {self.threshold!r})"]
        return [
            "for parameter in model.parameters():",
            f"    torch.nn.utils.clip_grad_norm_(parameter, {self.threshold!r})",
        ]


# The names of the settings in a change, and in an optimizer's parameter groups.
_KEYS = {"learning_rate": "lr", "eps": "eps"}


def set_optimizer(optimizer: optim.Optimizer, settings: Mapping[str, float]) -> None:
    """Sets numbers of an optimizer. Several groups keep the ratio of their learning rates.

    Raises `CannotApply` for a number that this optimizer does not have.
    """
    for name, value in settings.items():
        key = _KEYS.get(name)
        if key is None or any(key not in group for group in optimizer.param_groups):
            raise CannotApply(f"optimizer {name} = {value:g}", f"{type(optimizer).__name__} has no such setting")
        first = optimizer.param_groups[0][key]
        for group in optimizer.param_groups:
            group[key] = value * group[key] / first if name == "learning_rate" and first else value


def code(settings: Mapping[str, float], clip: Clip | None) -> list[str]:
    """What to do around the training loop, as comments: it does not happen when the model is built."""
    lines = []
    if settings:
        lines += ["for group in optimizer.param_groups:"]
        lines += [f"    group[{_KEYS.get(name, name)!r}] = {value!r}" for name, value in settings.items()]
    if clip is not None:
        lines += ["between loss.backward() and optimizer.step():", *clip.code()]
    return [f"# {line}" for line in lines]
