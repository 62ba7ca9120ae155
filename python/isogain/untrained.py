"""The loss of a network that learnt nothing: what a remedy must beat to improve anything."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from isogain.trials import LossFunction, device_of, judge, moved, size


def untrained_loss(model: nn.Module, outputs: Any, batches: list[Any], loss_fn: LossFunction) -> float:
    """Mean loss of the best constant output: the entropy of the classes under cross-entropy, the variance of the
    target under squared error. Where the loss takes no such output, or has no least value for one (negative
    log-likelihoods of bare numbers), that of the model before training.

    Raises `ValueError` when neither is a number above 0, because verdicts compare ratios of losses.
    """
    found = _best_constant(outputs, batches, loss_fn, device_of(model)) if isinstance(outputs, Tensor) else None
    if found is None:
        found = judge(model, batches, loss_fn, None)[0]
    if found is None or not found > 0.0:
        raise ValueError(
            f"the loss before training is {found}: trials compare ratios of losses, so it must be above 0 and finite"
        )
    return found


def _best_constant(outputs: Tensor, batches: list[Any], loss_fn: LossFunction, place: torch.device) -> float | None:
    constant = torch.zeros_like(outputs[:1]).requires_grad_()
    targets = [moved(batch[1], place) for batch in batches]
    samples = sum(map(size, targets))
    optimizer = torch.optim.LBFGS([constant], max_iter=100, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def mean() -> Tensor:
        parts = [size(t) * loss_fn(constant.expand(size(t), *constant.shape[1:]), t) for t in targets]
        return torch.stack(parts).sum() / samples

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    try:
        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        loss = float(mean().detach())
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
    return loss if math.isfinite(loss) and loss > 0.0 else None
