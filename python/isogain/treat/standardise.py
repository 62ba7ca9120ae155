"""Inputs brought to mean 0 and deviation 1, by a first module that knows the training part's statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isogain.treat.code import Call
from isogain.treat.errors import CannotApply
from isogain.treat.modules import Standardise
from isogain.treat.steps import Do, Step


def standardised(model: nn.Module, training_inputs: torch.Tensor) -> nn.Module:
    """The model behind a module that standardises each feature (of `[batch, channels, ...]` each channel)."""
    x = training_inputs.double()
    axes = [axis for axis in range(x.ndim) if axis != 1 or x.ndim == 1]
    mean, deviation = x.mean(axes, keepdim=True)[0], x.std(axes, correction=0, keepdim=True)[0]
    deviation[deviation == 0] = 1.0
    first = Standardise(mean.to(training_inputs), deviation.to(training_inputs))
    return nn.Sequential(first, model).train(model.training)


def steps(training_inputs: object) -> list[Step]:
    """Puts the module in front."""
    if not isinstance(training_inputs, Tensor):
        raise CannotApply("input = standardise", "needs a batch whose inputs are one tensor")
    if not training_inputs.is_floating_point():
        raise CannotApply("input = standardise", f"the inputs are {training_inputs.dtype}, not numbers on a scale")
    told = [("input", "every feature", "shifted and scaled to mean 0 and deviation 1 on the training part")]
    return [Do(Call(standardised), told, inputs="training_inputs", gives_model=True)]
