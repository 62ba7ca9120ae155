"""A batch as it was given: its inputs and targets, and how the model and the loss are called with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from isogain.surgery.modules import run as forward

Loss = Callable[..., Tensor]
Run = Callable[[Callable[..., Any]], tuple[Any, Tensor]]


def read_batch(batch: Any, model: nn.Module) -> tuple[Any, Any]:
    """Inputs as `modules.run` takes them, and targets, `None` where there are none.

    Raises `ValueError` for a batch of other parts, or without a sample; `TypeError` for a loader of batches.
    """
    inputs, targets = _parts(batch)
    inputs = _arguments(model, inputs)
    if any(isinstance(leaf, Tensor) and leaf.dim() and leaf.shape[0] == 0 for leaf in tree_leaves(inputs)):
        raise ValueError("the batch is empty: an input has no samples (its first axis has size 0)")
    return inputs, targets


def _parts(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        raise ValueError(
            f"a batch is (inputs, targets), a tensor or a mapping of keyword arguments; this one has {len(batch)} parts. "
            "Several inputs go into a tuple: ((a, b), targets)"
        )
    if isinstance(batch, DataLoader):
        raise TypeError("needs one batch, and this is a DataLoader: give `next(iter(loader))`")
    return batch, None


def _arguments(model: nn.Module, inputs: Any) -> Any:
    """What `modules.run` calls the model with as it is meant."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if isinstance(inputs, list):
        return tuple(inputs) if _takes_several(model) else (inputs,)
    return inputs


def _takes_several(model: nn.Module) -> bool:
    """Whether one positional argument is not all that the model's forward needs."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # a compiled forward does not tell
        return False
    required = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(required) > 1 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def runner(
    inputs: Any, targets: Any, loss_fn: Loss | None, others: Callable[[], AbstractContextManager[None]]
) -> Run:
    """One forward pass through whatever stands for the model, and the loss, in the context that is for other modules."""

    def run(call: Callable[..., Any]) -> tuple[Any, Tensor]:
        output = forward(call, inputs)
        if loss_fn is None:
            loss = getattr(output, "loss", None)
            if loss is None:
                raise ValueError("no loss_fn was given, and the model's output has no `.loss`")
            return output, loss
        with others():
            return output, loss_fn(output) if targets is None else loss_fn(output, targets)

    return run
