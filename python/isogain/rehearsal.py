"""A rehearsal of a learning rate: a copy of the model takes some steps of its optimizer on one batch again and again, on which a
usable rate only goes down."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isogain.batch import Run
from isogain.surgery.randomness import generators, kept_random

#: Steps, as many as a recipe's rehearsal has.
STEPS = 40
#: Seconds after which it is given up: a check is no training.
SECONDS = 5.0


def rehearse(model: nn.Module, optimizer: torch.optim.Optimizer, run: Run) -> dict[str, float | None] | None:
    """The loss before and after, and its largest rise above its running minimum (`None`: it stopped being finite). Every pass draws
    the same noise, so that a rate of zero has no rise.

    `None` where a copy would not do what the two do: an optimizer with hooks, in a wrapper, or that wants a closure, a loss that looks at the
    model's parameters itself; and where it takes too long.
    """
    with kept_random():
        try:
            if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
                return None
            twin, its_optimizer = copy.deepcopy((model, optimizer))
            return _losses(twin, its_optimizer, run, list(model.parameters()))
        except Exception:  # a model of any kind: what cannot be rehearsed is not judged
            return None


def _losses(
    model: nn.Module, optimizer: torch.optim.Optimizer, run: Run, originals: Sequence[Tensor]
) -> dict[str, float | None] | None:
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    foreign = [p for p in originals if p.requires_grad]
    same_noise, begun = generators(), time.perf_counter()
    first = lowest = value = math.nan
    rise = 0.0
    for step in range(STEPS + 1):
        same_noise()
        _, loss = run(model)
        value = float(loss.detach())
        if step == 0:
            first = lowest = value
        if not math.isfinite(value):
            return {"first": first, "rise": None, "last": None} if math.isfinite(first) else None
        lowest = min(lowest, value)
        rise = max(rise, value - lowest)
        # Not `backward`, which would add to gradients of whatever else the loss depends on.
        gradients = torch.autograd.grad(loss, [*trained, *foreign], allow_unused=True)
        if any(gradient is not None for gradient in gradients[len(trained) :]):
            return None
        for parameter, gradient in zip(trained, gradients, strict=False):
            parameter.grad = gradient
        optimizer.step()
        if time.perf_counter() - begun > SECONDS:
            return None
    return {"first": first, "rise": rise, "last": value}
