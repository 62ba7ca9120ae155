"""Clipping each value on its own: the direction turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from isogain.clip.gradients import Gradients, Group, Parameters, accumulator, collect, not_negative, on_device, wide
from isogain.clip.report import Number, Report, cosine, nothing

METHOD = "value"

CHUNK_ELEMENTS = {"cpu": 1 << 18}
"""How many values are copied at a time to measure what is lost: what a CPU's cache holds; elsewhere 16 Mi."""


@torch.no_grad()
def by_value_(
    parameters: Parameters, threshold: float, foreach: bool | None = None, *, error_if_nonfinite: bool = False
) -> Report:
    """Clamps every value to [-threshold, threshold], as `torch.nn.utils.clip_grad_value_` does, to the last bit.

    Large values are cut and small ones kept, so the direction turns: (0.9, 100), half a degree from
    its axis, becomes (0.9, 1), 42 degrees from it.
    With c = clamp(g, -t, t) and the excess e = g - c, which has c's sign and is 0 where |g| <= t, the inner product is
    <g, c> = |c|^2 + t sum|e|. A NaN stays a NaN, an Inf becomes `threshold`; the norm before is then not finite and
    `report.finite` is False. `report.threshold` is `threshold`, the number is the L2 norm before.
    """
    limit = not_negative("threshold", threshold)
    gradients = collect(parameters, foreach)
    if not gradients.tensors:
        return nothing(METHOD, limit)
    norms, total = gradients.norms(error_if_nonfinite=error_if_nonfinite)
    sums = _clamp_(gradients, norms, limit)
    sizes = gradients.elements()

    def measure() -> Sequence[Number]:
        after, excess, clipped = sums.unbind(1)
        product = after.sum() + torch.where(excess > 0.0, limit * excess, 0.0).sum()  # no inf * 0
        length = after.sum().sqrt()
        count = torch.tensor(float(max(1, sum(sizes))), dtype=sums.dtype, device=sums.device)
        angle = torch.where(total.isfinite(), cosine(total.to(sums.dtype), length, product), torch.nan)
        return length, angle, limit, (clipped > 0.0).to(sums.dtype).mean(), clipped.sum() / count

    return Report(METHOD, total, measure)


def _clamp_(gradients: Gradients, norms: Tensor, limit: float) -> Tensor:
    """Clamps in place. For each gradient |c|^2, sum|e| and how many values changed, [n, 3]."""
    sums = torch.zeros(len(gradients.tensors), 3, dtype=wide(gradients.device), device=gradients.device)
    sums[:, 0] = norms.to(sums.dtype) ** 2
    start = 0
    for group in gradients.groups:
        rows = list(range(start, start + len(group.tensors)))
        start += len(rows)
        if gradients.free_to_read and not gradients.shards:
            # Looking first is cheaper than measuring. Where gradients are sharded every rank must measure.
            rows = [row for row in rows if not _within(gradients.tensors[row], limit)]
        for chunk in _chunks(gradients, rows, CHUNK_ELEMENTS.get(group.device.type, 1 << 24)):
            tensors = [gradients.tensors[row] for row in chunk]
            columns = _clamp_chunk_(tensors, limit, group, gradients.free_to_read)
            moved = [column.to(sums.device, sums.dtype) for column in columns]
            sums[on_device(chunk, sums.device)] = torch.stack(moved, dim=1)
    return gradients.reduce(sums, gradients.shards) if gradients.shards else sums


def _clamp_chunk_(tensors: list[Tensor], limit: float, group: Group, on_cpu: bool) -> list[Tensor]:
    """Clamps in place; |c|^2, sum|e| and the count of changed values of each, three times [n]."""
    dtype = accumulator(group)
    if group.foreach:
        excess = list(torch._foreach_clone(tensors))
        torch._foreach_clamp_min_(tensors, -limit)
        torch._foreach_clamp_max_(tensors, limit)
        torch._foreach_sub_(excess, tensors)
        torch._foreach_abs_(excess)
        lengths = list(torch._foreach_norm(tensors, 2.0, dtype=dtype))
    else:
        excess = [tensor.clone() for tensor in tensors]
        for tensor, copy in zip(tensors, excess):
            copy.sub_(tensor.clamp_(-limit, limit)).abs_()
        lengths = [torch.linalg.vector_norm(tensor, dtype=dtype) for tensor in tensors]
    if group.foreach and not on_cpu:
        sizes = list(torch._foreach_norm(excess, 1.0, dtype=dtype))
        torch._foreach_sign_(excess)
        counts = torch.stack(list(torch._foreach_norm(excess, 1.0, dtype=dtype))).nan_to_num(nan=0.0)
    else:
        # A CPU's foreach is a loop too, and its 1-norm takes five times as long as its sum.
        sizes = [copy.sum(dtype=dtype) for copy in excess]
        counts = torch.stack([(copy > 0.0).count_nonzero() for copy in excess])
    return [torch.stack(lengths).to(wide(group.device)) ** 2, torch.stack(sizes), counts]


def _chunks(gradients: Gradients, rows: list[int], most: int) -> Iterator[list[int]]:
    """The gradients at `rows`, few enough at a time to copy."""
    chunk: list[int] = []
    elements = 0
    for row in rows:
        size = gradients.tensors[row].numel()
        if chunk and elements + size > most:
            yield chunk
            chunk, elements = [], 0
        chunk.append(row)
        elements += size
    if chunk:
        yield chunk


def _within(tensor: Tensor, limit: float) -> bool:
    """Whether clamping would change nothing."""
    if not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)
    return bool(-limit <= low.item() and high.item() <= limit)
