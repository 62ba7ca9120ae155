"""Where rows, channels and units lie in PyTorch's tensors.

The core reads matrices `[rows, features]`: buffers have their channels last. `axis` is where PyTorch has them, 1 or -1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isogain.trace import Node

WEIGHTED = {"linear": 1, "addmm": 2, "matmul": 1, "mm": 1, "conv1d": 1, "conv2d": 1, "conv3d": 1}
"""Calls that multiply by a matrix, and the position of that matrix."""

#: Convolutions, and those that go back.
CONVOLUTIONS = frozenset({f"{name}{axes}d" for name in ("conv", "conv_transpose") for axes in (1, 2, 3)})

#: Calls whose channels are behind the batch.
_CHANNELS_SECOND = CONVOLUTIONS | {"batch_norm", "group_norm", "instance_norm"}

#: Calls whose channels are last.
_CHANNELS_LAST = frozenset({"linear", "layer_norm", "rms_norm", "embedding", "addmm", "matmul"})


def axis_of(before: Node, after: Node, axis: int) -> int:
    """Where the channels are in what a call gives, having been along `axis` of what it was given."""
    if after.function in _CHANNELS_SECOND:
        return 1
    if after.function in _CHANNELS_LAST:
        return -1
    if after.value.dim() == before.value.dim():
        return axis
    # What flattens positions leaves the channels where they are.
    stay = axis == 1 and after.function == "flatten" and after.value.dim() > 2
    return axis if stay else _default_axis(after.value)


def units(node: Node) -> str:
    """Where in its matrix the weights of one unit lie."""
    return "columns" if node.function in ("addmm", "matmul", "mm") else "rows"


def as_read(weight: Tensor, flattened: torch.Size | None) -> Tensor:
    """A weight in the order of its input's buffer, whose channels are last."""
    return weight if flattened is None else weight.detach().reshape(-1, *flattened).movedim(1, -1).flatten(1)


def reads_flattened(source: Node, before: Node, after: Node) -> bool:
    """Whether a layer reads all positions of what has channels second as one vector."""
    if after.function != "linear" or source.value.dim() < 3 or before.value.shape != source.value.flatten(1).shape:
        return False
    return is_same(source.value.flatten(1), before.value)


def joined(heads: Tensor) -> Tensor:
    """`[samples, heads, positions, features]` with the heads of a position side by side, `[samples, positions, all features]`."""
    return heads.transpose(1, 2).flatten(2)


def by_sample(tensor: Tensor, steps_and_samples: tuple[int, int]) -> Tensor:
    """`[steps, samples, features]`, or rows of these, with the steps of a sample together; another tensor as it is."""
    steps, samples = steps_and_samples
    are_rows = tensor.dim() == 2 and len(tensor) == steps * samples
    if not are_rows and not (tensor.dim() == 3 and tensor.shape[:2] == (steps, samples)):
        return tensor
    return tensor.reshape(steps, samples, -1).transpose(0, 1)


def steps_first(gave: Tensor, reads: Tensor, known: tuple[int, int] | None) -> tuple[int, int] | None:
    """Steps and samples, where what was given sample by sample is read step by step, as PyTorch's attention does inside; `known` is
    what was so before."""
    gave, reads = gave.flatten(), reads.detach().to(gave.device)
    if is_same(reads.flatten(), gave):
        return None
    found = (reads.shape[0], reads.shape[1]) if reads.dim() == 3 else known
    return found if found is not None and is_same(by_sample(reads, found).flatten(), gave) else None


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and numbers, or none at the same places."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def rows(node: Node, axis: int) -> int:
    """Samples times positions of what a call gives."""
    value = node.value
    if value.dim() > 1:
        return value.numel() // max(value.shape[axis], 1)
    # A vector is one number for each sample, but that of a layer, which was given a single one.
    return 1 if node.function in WEIGHTED else value.numel()


def axis_moved(node: Node, axis: int) -> int:
    """Where the channels are behind a call that moves axes; of calls that make other ones nobody says."""
    dims = node.value.dim()
    if node.function == "permute":
        given = node.argument("dims", 1)
        order = [int(dim) % dims for dim in (given if isinstance(given, (tuple, list)) else node.args[1:])]
    elif node.function in ("transpose", "swapaxes", "swapdims") and len(node.args) == 3:
        order = list(range(dims))
        one, other = (int(dim) % dims for dim in node.args[1:])
        order[one], order[other] = other, one
    else:
        return axis
    moved = order.index(axis % dims)
    return -1 if moved == dims - 1 else 1 if moved == 1 else _default_axis(node.value)


def _default_axis(value: Tensor) -> int:
    return 1 if value.dim() >= 4 else -1


def axis_of_source(cuts: Sequence[Node]) -> int:
    return _default_axis(cuts[0].value) if cuts else -1
