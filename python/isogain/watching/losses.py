"""What a loss tells of itself: its value, its kind, and what a network that knows nothing would get."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from isogain import _core

__all__ = ["LossSeen", "look"]

#: Nodes that change nothing of a loss's value.
_SAME = ("ToCopyBackward0", "ViewBackward0", "SqueezeBackward0", "CloneBackward0", "AliasBackward0")
#: `reduction="mean"` as autograd keeps it.
_MEAN = 1


@dataclass(frozen=True)
class LossSeen:
    """Kind of a loss, and the loss of a network that knows nothing where the kind tells it."""

    kind: str = "other"
    baseline: float | None = None
    #: Statistics of the targets of a regression.
    target: dict[str, Any] | None = None


def look(loss: torch.Tensor) -> LossSeen:
    """Reads kind and baseline from the graph of a loss that is a mean of one of PyTorch's own functions."""
    node: Any = loss.grad_fn
    while node is not None and type(node).__name__ in _SAME:
        node = node.next_functions[0][0]
    name = type(node).__name__
    if getattr(node, "_saved_reduction", None) != _MEAN:
        return LossSeen()
    if name in ("NllLossBackward0", "NllLoss2DBackward0"):
        return _cross_entropy(node)
    if name == "MseLossBackward0":
        return _squared_error(node)
    if name == "BinaryCrossEntropyWithLogitsBackward0":
        return LossSeen(baseline=math.log(2))
    return LossSeen()


def _cross_entropy(node: Any) -> LossSeen:
    scores = node.next_functions[0][0]
    # What a node returned is of the shape that its gradient has; its saved tensors are gone after the backward pass.
    shape = scores._input_metadata[0].shape
    classes = int(shape[1] if len(shape) > 1 else shape[0])
    weighted = _saved(node, "_saved_weight") is not None
    before = type(scores).__name__
    # A loss on log-probabilities that the network makes itself has the same baseline, but its outputs are no logits.
    kind = "cross-entropy" if before == "LogSoftmaxBackward0" else "other"
    return LossSeen(kind, None if weighted or classes < 2 else math.log(classes))


def _saved(node: Any, name: str) -> torch.Tensor | None:
    try:
        saved: torch.Tensor | None = getattr(node, name)
    except RuntimeError:
        return None  # freed by the backward pass
    return saved


def _squared_error(node: Any) -> LossSeen:
    target = _saved(node, "_saved_target")
    if target is None or not target.is_floating_point():
        return LossSeen("mean-squared-error")
    found = _core.statistics(target.detach().to("cpu", torch.float32))
    finite = found["count"] - found["non_finite"]
    if finite < 2:
        return LossSeen("mean-squared-error")
    mean = found["sum"] / finite
    variance = max(found["sum_of_squares"] / finite - mean * mean, 0.0)
    return LossSeen("mean-squared-error", variance if variance > 0 else None, found)
