"""Clipping by the norm of each gradient on its own: the direction within a tensor is kept, that of the whole is not."""

from __future__ import annotations

import torch

from isogain.clip.gradients import EPS, Parameters, collect, not_negative
from isogain.clip.report import Report, many_factors, nothing

METHOD = "norm of each tensor"


@torch.no_grad()
def by_norm_(
    parameters: Parameters, max_norm: float, *, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Report:
    """Multiplies each gradient g by min(1, max_norm / (|g| + 1e-6)), with |g| its own L2 norm.

    What Keras calls `clipnorm` (its `global_clipnorm` is `by_global_norm_`); the same as calling
    `torch.nn.utils.clip_grad_norm_` on each parameter alone. Tensors with large gradients lose weight against the
    others, so the direction of the whole turns: `report.cosine` says by how much, from the norms alone. A gradient
    whose norm is not finite is left as it is. `report.threshold` is `max_norm`; the number is the
    norm of all gradients.
    """
    limit = not_negative("max_norm", max_norm)
    gradients = collect(parameters, foreach)
    if not gradients.tensors:
        return nothing(METHOD, limit)
    norms, total = gradients.norms(error_if_nonfinite=error_if_nonfinite)
    factors = torch.clamp(limit / (norms + EPS), max=1.0)
    factors = torch.where(norms.isfinite(), factors, 1.0)
    gradients.scale_each_(factors)
    return many_factors(METHOD, total, norms, factors, gradients.elements(), limit)
