"""Adaptive gradient clipping: each unit's gradient against its own weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from isogain.clip.gradients import Gradients, Parameters, accumulator, collect, not_negative, on_device, wide
from isogain.clip.report import Number, Report, cosine, nothing

METHOD = "adaptive (AGC)"


@torch.no_grad()
def agc_(
    parameters: Parameters, clipping: float = 0.01, eps: float = 1e-3, *, error_if_nonfinite: bool = False
) -> Report:
    """Rescales a unit's gradient G to the norm clipping * max(|W|, eps) where it is longer; W are the unit's weights.

    Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization", 2021,
    arXiv:2102.06171, equation 3, unit-wise, as in the authors' code: a unit is a row, the slice of a weight at one
    index of its first axis ([d_out, d_in]; [d_out, d_in, H, W]); scalars, vectors and what has only one axis longer
    than 1 are one unit each. `eps` lets weights that start at zero move. The paper clips all layers but the last: leave
    its parameters out. `clipping` 0.01 is for batches of 1024 to 4096; smaller batches want a larger one.

    A unit whose norm is not finite is left as it is. `report.threshold` is `clipping`, a ratio of norms; the number is
    the L2 norm of all gradients. Transposed convolutions keep their units on the second axis: here each row counts.
    """
    ratio, floor = not_negative("clipping", clipping), not_negative("eps", eps)
    gradients = collect(parameters)
    if not gradients.tensors:
        return nothing(METHOD, ratio)
    units = [_units(gradient) for gradient in gradients.wholes]
    sharded = bool(gradients.shards)
    norms = _unit_norms(gradients, gradients.tensors, units, overflow_safe=sharded)
    total = gradients.norms()[1] if sharded else torch.linalg.vector_norm(norms)
    if (gradients.free_to_read or error_if_nonfinite) and not sharded and not math.isfinite(total.item()):
        norms = _unit_norms(gradients, gradients.tensors, units, overflow_safe=True)
        total = torch.linalg.vector_norm(norms)
    if error_if_nonfinite:
        gradients.check_finite(total)
    limits = ratio * _unit_norms(gradients, _weights(gradients), units, overflow_safe=sharded).clamp_(min=floor)
    factors = torch.where((norms > limits) & norms.isfinite(), limits / norms.clamp(min=1e-6), 1.0)
    _scale_(gradients, factors, units)
    count, elements = len(units), gradients.elements()
    held = _rows(gradients, units)
    reduced = _sums(gradients, norms, factors, units) if sharded else None

    def measure() -> Sequence[Number]:
        sums = _per_gradient(norms, factors, held, units, elements) if reduced is None else reduced
        before, after, product, clipped = sums.unbind(1)
        length = after.sum().sqrt()
        angle = cosine(before.sum().sqrt(), length, product.sum())
        return length, angle, ratio, (clipped > 0.0).sum() / count, clipped.sum() / max(1, sum(elements))

    return Report(METHOD, total, measure)


def _units(whole: Tensor) -> int:
    """How many units a whole gradient has: 1, or one for each index of its first axis."""
    return 1 if sum(size > 1 for size in whole.shape) <= 1 else whole.shape[0]


def _weights(gradients: Gradients) -> list[Tensor]:
    """This rank's part of the parameters, in the order of the gradients."""
    owners = [gradients.parameters[place].detach() for place in gradients.places]
    return [owner.to_local() if hasattr(owner, "to_local") else owner for owner in owners]


def _rows(gradients: Gradients, units: Sequence[int]) -> list[int]:
    """How many units, or parts of the one unit, this rank holds of each gradient."""
    return [1 if count == 1 else len(tensor) for tensor, count in zip(gradients.tensors, units)]


def _unit_norms(gradients: Gradients, tensors: Sequence[Tensor], units: Sequence[int], overflow_safe: bool) -> Tensor:
    """The norm of each unit on this rank, all gradients one after the other, [rows]."""
    dtypes = [accumulator(group, overflow_safe) for group in gradients.groups for _ in group.tensors]
    parts = []
    for tensor, count, dtype in zip(tensors, units, dtypes):
        flat = tensor.reshape(1, -1) if count == 1 else tensor.flatten(1)
        parts.append(torch.linalg.vector_norm(flat, dim=1, dtype=dtype) if flat.numel() else flat.new_zeros(len(flat)))
    if len(gradients.groups) > 1:
        parts = [part.to(gradients.device) for part in parts]
    norms = torch.cat(parts).to(wide(gradients.device))
    cut = [shard for shard in gradients.shards if units[shard.row] == 1 or shard.dim != 0]
    if not cut:
        return norms
    # These units themselves are cut over ranks: their squares add up, in one collective for each mesh dimension.
    counts = [len(part) for part in parts]
    starts = [sum(counts[:row]) for row in range(len(counts))]
    shards = [s._replace(row=starts[s.row] + unit) for s in cut for unit in range(counts[s.row])]
    return gradients.reduce(norms**2, shards).sqrt()


def _scale_(gradients: Gradients, factors: Tensor, units: Sequence[int]) -> None:
    if gradients.free_to_read and bool((factors == 1.0).all()):
        return
    for tensor, factor in zip(gradients.tensors, torch.split(factors, _rows(gradients, units))):
        if gradients.free_to_read and bool((factor == 1.0).all()):
            continue
        shape = [len(factor)] + [1] * (tensor.dim() - 1) if tensor.dim() else []
        dtype = tensor.dtype if tensor.dtype.itemsize >= 4 else torch.float32
        tensor.mul_(factor.to(tensor.device, dtype).view(shape))


def _per_gradient(
    norms: Tensor, factors: Tensor, rows: Sequence[int], units: Sequence[int], elements: Sequence[int]
) -> Tensor:
    """|g|^2, |g'|^2, <g, g'> and how many values were changed, over the rows of each gradient, [n, 4]."""
    sizes = [size / max(1, count) for size, count in zip(elements, units)]
    owner = on_device([index for index, count in enumerate(rows) for _ in range(count)], norms.device)
    per_row = torch.tensor(sizes, dtype=norms.dtype).to(norms.device, non_blocking=True)[owner]
    square = norms**2
    values = torch.stack([square, factors**2 * square, factors * square, (factors < 1.0) * per_row], dim=1)
    return torch.zeros(len(rows), 4, dtype=norms.dtype, device=norms.device).index_add_(0, owner, values)


def _sums(gradients: Gradients, norms: Tensor, factors: Tensor, units: Sequence[int]) -> Tensor:
    """`_per_gradient` of whole gradients, where ranks hold different units of one."""
    sums = _per_gradient(norms, factors, _rows(gradients, units), units, gradients.elements())
    apart = [shard for shard in gradients.shards if units[shard.row] > 1 and shard.dim == 0]
    return gradients.reduce(sums, apart) if apart else sums
