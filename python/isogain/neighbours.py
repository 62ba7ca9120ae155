"""Whether inputs that are neighbours still get gradients that are alike: one more pass, over points that lie close together on the
way from the batch's first sample to its second, all with the target of the first."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from isogain.as_found import as_found
from isogain.batch import Loss, runner
from isogain.chain import Builder
from isogain.trace import Trace, trace

#: Points, as many as a recipe's check takes.
POINTS = 64
#: Values of all tensors of such a pass above which it is left out: it would take longer than all else of a check.
MOST_VALUES = 2**26


def measure(model: nn.Module, inputs: Any, targets: Any, loss_fn: Loss | None, found: Trace) -> tuple[Tensor, Tensor] | None:
    """dL/dx at every point, and what the last layer reads there, point by point.

    `None` where nothing lies between two inputs, as between tokens; where nobody knows which target belongs to which sample; where
    the model takes no batch of another size; and where the pass would be a large one.
    """
    points = along_an_arc(inputs, targets, loss_fn)
    if points is None:
        return None
    arc, ends = points
    samples = _samples(inputs)
    if POINTS * sum(node.value.numel() for node in found.nodes) > MOST_VALUES * samples:
        return None
    try:
        with as_found(model) as others, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given at the first pass
            builder = Builder(trace(model, runner(arc, ends, loss_fn, others), arc), model)
            ops = builder.build().ops
    except Exception:  # a model of any kind: what takes no such batch is not measured
        return None
    head = next((op for op in reversed(ops) if op["kind"] in ("linear", "convolution")), None)
    if head is None:
        return None
    gradient, activation = builder.buffers.tensors[ops[0]["cotangent_in"]], builder.buffers.tensors[head["input"]]
    moved = next(leaf for leaf in tree_leaves(arc) if isinstance(leaf, Tensor))
    # A chain that begins behind the inputs has no gradient of theirs.
    is_of_points = gradient.numel() == moved.numel() and activation.numel() % POINTS == 0
    return (gradient, activation) if is_of_points else None


def along_an_arc(inputs: Any, targets: Any, loss_fn: Loss | None) -> tuple[Any, Any] | None:
    """Inputs and targets of the points. Of the inputs the first must be real numbers, and the only ones; of others, and of the
    targets, each point has what the first sample has."""
    leaves = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    samples = _samples(inputs)
    reals = [leaf for leaf in leaves if leaf.is_floating_point()]
    if samples < 2 or len(reals) != 1 or reals[0] is not leaves[0]:
        return None
    # A loss that holds its targets itself would compare the points with others'.
    if (targets is None) != (loss_fn is None):
        return None
    ends = [leaf for leaf in tree_leaves(targets) if isinstance(leaf, Tensor)]
    if any(not leaf.dim() or leaf.shape[0] % samples for leaf in ends):
        return None

    def of_first(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not leaf.dim() or leaf.shape[0] % samples:
            return leaf
        first = leaf.detach()[: leaf.shape[0] // samples]
        return torch.cat([first] * POINTS)

    return tree_map(lambda leaf: _arc(leaf) if leaf is reals[0] else of_first(leaf), inputs), tree_map(of_first, targets)


def _arc(inputs: Tensor) -> Tensor:
    """cos(t) a + sin(t) b with t from 0 to pi/2, which keeps the size of samples that are orthogonal."""
    first, second = inputs.detach()[:2].to(torch.promote_types(inputs.dtype, torch.float32))
    steps = torch.linspace(0.0, math.pi / 2, POINTS, dtype=first.dtype, device=first.device).view(-1, *[1] * first.dim())
    points: Tensor = (steps.cos() * first + steps.sin() * second).to(inputs.dtype)
    return points


def _samples(inputs: Any) -> int:
    first = next((leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)), None)
    return int(first.shape[0]) if first is not None and first.dim() else 1
