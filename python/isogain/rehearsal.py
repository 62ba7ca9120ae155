"""A rehearsal of a learning rate: a copy of the model takes some steps of its optimizer on one batch again and again, on which a
usable rate only goes down."""

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from isogain.surgery.randomness import kept_random

#: Steps, as many as a recipe's rehearsal has.
STEPS = 40
#: Seconds that all of them may take, judged by the first two: a check is no training.
SECONDS = 5.0


def rehearse(
    model: nn.Module, optimizer: torch.optim.Optimizer, run: Callable[[Callable[..., Any]], tuple[Any, Tensor]]
) -> dict[str, float | None] | None:
    """The loss before, and its largest rise above its running minimum (`None`: it stopped being finite). `None` where model and
    optimizer have no copy that does the same: one that hooks belong to, one that wants a closure; or where it takes too
    long."""
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return None
    with kept_random():
        try:
            model, optimizer = copy.deepcopy((model, optimizer))
            return _losses(model, optimizer, run)
        except Exception:  # a model of any kind: what cannot be rehearsed is not judged
            return None


def _losses(
    model: nn.Module, optimizer: torch.optim.Optimizer, run: Callable[[Callable[..., Any]], tuple[Any, Tensor]]
) -> dict[str, float | None] | None:
    first = lowest = math.nan
    rise, begun = 0.0, time.perf_counter()
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        _, loss = run(model)
        value = float(loss.detach())
        if step == 0:
            first = lowest = value
        if not math.isfinite(value):
            return {"first": first, "rise": None} if math.isfinite(first) else None
        lowest = min(lowest, value)
        rise = max(rise, value - lowest)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step == 1 and (time.perf_counter() - begun) / 2 * STEPS > SECONDS:
            return None
    return {"first": first, "rise": rise}
