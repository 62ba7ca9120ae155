"""What a check has to say besides the findings: of parameters without a gradient, and of the mode the model is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from isogain.reach import Cut

_MOST_NAMES = 4


@dataclass(frozen=True)
class Remark:
    """One sentence."""

    level: str
    """`warning` or `note`."""
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.message}"


def of_unreached(
    unreached: Mapping[str, Cut | None], parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer | None
) -> list[Remark]:
    """A warning for each place where the graph is cut, and a note of parameters that the loss does not use. Where an optimizer is
    given, of those that it moves.

    Raises `ValueError` when no parameter has a gradient.
    """
    moved = None if optimizer is None else {id(p) for group in optimizer.param_groups for p in group["params"]}
    trained = [name for name, p in parameters.items() if p.requires_grad]
    if not trained:
        raise ValueError("the loss depends on no parameter that requires a gradient; is the whole model frozen?")
    places: dict[Cut | None, list[str]] = {}
    for name, cut in unreached.items():
        if moved is None or id(parameters[name]) in moved:
            places.setdefault(cut, []).append(name)
    remarks = [_unreached(cut, names, len(trained)) for cut, names in places.items()]
    remarks.sort(key=lambda remark: remark.level == "note")
    if len(unreached) == len(trained):
        raise ValueError("; ".join(["the loss depends on no parameter that requires a gradient", *(r.message for r in remarks)]))
    return remarks


def _unreached(cut: Cut | None, names: Sequence[str], trained: int) -> Remark:
    who = f"{_listed(names)} ({len(names)} of {trained} parameters that require a gradient)"
    if cut is None:
        return Remark("note", f"{who} get none: this loss does not use them")
    place = f"in {cut.module}" if cut.module else "in the model's own forward" if cut.in_model else "in the loss function"
    why = ", which ran without gradients (torch.no_grad)" if cut.without_gradients else ""
    return Remark(
        "warning", f"{who} get none, though the loss is computed from them: the graph is cut at `{cut.function}` {place}{why}"
    )


def of_modes(model: nn.Module) -> list[Remark]:
    """A note where norms or dropout run as they do after training."""
    norms, dropouts = [], []
    for path, module in model.named_modules():
        if not module.training and _has_running_statistics(module):
            norms.append(path)
        elif not module.training and _drops(module):
            dropouts.append(path)
    does = [f"running statistics stand in for the batch's in {_listed(norms)}"] if norms else []
    does += [f"dropout is off in {_listed(dropouts)}"] if dropouts else []
    if not does:
        return []
    who = "a part of the model" if model.training else "the model"
    how = "`model.train()` before the check shows what training sees"
    return [Remark("note", f"{who} is in evaluation mode: {', '.join(does)}; {how}")]


def _has_running_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None


def _drops(module: Any) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0.0
    return isinstance(module, nn.RNNBase | nn.MultiheadAttention) and module.dropout > 0.0


def _listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(name or "the model" for name in names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown
