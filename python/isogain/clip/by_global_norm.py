"""Clipping by the norm of all gradients together: the direction is kept."""

from __future__ import annotations

import math

import torch

from isogain.clip.gradients import EPS, Parameters, collect, not_negative
from isogain.clip.report import Report, nothing, one_factor

METHOD = "global norm"


@torch.no_grad()
def by_global_norm_(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Report:
    """Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), where norm is that of all of them together.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1; the
    1e-6 and every bit of the result are `torch.nn.utils.clip_grad_norm_`'s. It differs where that one fails:

    * A NaN or an Inf among the gradients: they are left as they are and `report.finite` is False (torch spreads the
      NaN to every gradient). On an accelerator an Inf is treated as torch treats it, because it cannot be told from a
      norm that overflowed without waiting for the device: the factor is 0.
    * A norm too large for the gradients' dtype (f32: 1.8e19) is taken in float64 on a CPU, for sharded gradients, and
      on every device with `error_if_nonfinite=True`; torch sets all gradients to 0.
    * A negative `max_norm` is an error; torch turns the gradient round.

    `report.threshold` is `max_norm`. `norm_type` is the order of the norm, greater than 0, or inf.
    """
    limit = not_negative("max_norm", max_norm)
    order = float(norm_type)
    if not order > 0.0:
        raise ValueError(f"norm_type is {order}; it must be greater than 0 (inf: the largest absolute value)")
    gradients = collect(parameters, foreach)
    if not gradients.tensors:
        return nothing(METHOD, limit)
    _, total = gradients.norms(order, like_torch=True, error_if_nonfinite=error_if_nonfinite)
    # As torch writes it: a number over a tensor is its reciprocal times the number, and rounds as that.
    factor = torch.clamp(limit / (total + EPS), max=1.0).nan_to_num_(nan=1.0)
    if gradients.free_to_read and not math.isfinite(total.item()):
        factor = torch.ones_like(factor)
    elif not gradients.free_to_read and total.dtype == torch.float64:  # no overflow: an Inf is one
        factor = torch.where(total.isfinite(), factor, 1.0)
    gradients.scale_(factor)
    return one_factor(METHOD, total, factor, limit)
