"""Inputs brought to mean 0 and deviation 1, by a first module that knows the training part's statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isogain.surgery.code import Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.modules import Standardise
from isogain.surgery.steps import Do, Step


def standardised(model: nn.Module, training_inputs: torch.Tensor) -> nn.Module:
    """The model behind a module that standardises each feature (of `[batch, channels, ...]` each channel)."""
    x = training_inputs.double()
    axes = [axis for axis in range(x.ndim) if axis != 1 or x.ndim == 1]
    mean, deviation = x.mean(axes, keepdim=True)[0], x.std(axes, correction=0, keepdim=True)[0]
    deviation[deviation == 0] = 1.0
    first = Standardise(mean.to(training_inputs), deviation.to(training_inputs))
    return nn.Sequential(first, model).train(model.training)


@dataclass(frozen=True)
class Scaling:
    """Targets as a model is trained on them: (targets - mean) / deviation, both by column."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, targets: object) -> Scaling:
        """Of the targets of the training part, `[samples, ...]`."""
        if not isinstance(targets, Tensor) or not targets.is_floating_point():
            raise CannotApply("target = standardise", "the targets are not one tensor of numbers on a scale")
        deviation = targets.double().std(0, correction=0)
        deviation = torch.where(deviation == 0, 1.0, deviation)
        return cls(targets.double().mean(0).to(targets), deviation.to(targets))

    def scaled(self, targets: Tensor) -> Tensor:
        """What the model is trained on."""
        return (targets - self.mean.to(targets)) / self.deviation.to(targets)

    def restored(self, outputs: Tensor) -> Tensor:
        """Outputs in the units of the data."""
        return outputs * self.deviation.to(outputs) + self.mean.to(outputs)


def steps(training_inputs: object) -> list[Step]:
    """Puts the module in front."""
    if not isinstance(training_inputs, Tensor):
        raise CannotApply("input = standardise", "needs a batch whose inputs are one tensor")
    if not training_inputs.is_floating_point():
        raise CannotApply("input = standardise", f"the inputs are {training_inputs.dtype}, not numbers on a scale")
    told = [("input", "every feature", "shifted and scaled to mean 0 and deviation 1 on the training part")]
    return [Do(Call(standardised), told, inputs="training_inputs", gives_model=True)]
