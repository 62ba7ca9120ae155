"""ZClip: clips what is an outlier among the recent norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isogain.clip.clipper import GlobalNormClipper
from isogain.clip.gradients import not_negative


class ZClip(GlobalNormClipper):
    """Where z = (norm - mean) / (std + eps) exceeds `z_threshold`, clips to mean + z_threshold^2 std / z.

    Kumar, Owen, Chowdhury and Guera, "ZClip: Adaptive Spike Mitigation for LLM Pre-Training", 2025, arXiv:2504.02507;
    the variant of the paper's experiments and of the authors' code's default: z-score with reciprocal ("adaptive
    scaling") clipping: the larger the spike, the nearer to the mean it is brought. Mean and variance are exponential
    averages, x <- alpha x + (1 - alpha) new, of the norms *after* clipping, so that a spike does not widen the band
    for the next one; they start as mean and population variance of the first `warmup_steps` norms, during which
    nothing is clipped but by `max_norm`. `max_norm` is a fixed limit on top, always in force; None for none.

    A norm that is not finite enters neither warm-up nor averages. `report.threshold` is the norm the gradient was
    clipped to; where it was not, the norm above which it would have been (inf during warm-up without `max_norm`).
    """

    method = "ZClip"

    def __init__(
        self,
        alpha: float = 0.97,
        z_threshold: float = 2.5,
        warmup_steps: int = 25,
        max_norm: float | None = None,
        eps: float = 1e-6,
    ) -> None:
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is {alpha}; it must be between 0 and 1")
        if not z_threshold > 0.0:
            raise ValueError(f"z_threshold is {z_threshold}; it must be greater than 0")
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps is {warmup_steps}; the averages need at least 1 norm to start from")
        self.alpha, self.z_threshold, self.warmup_steps = float(alpha), float(z_threshold), int(warmup_steps)
        self.max_norm = None if max_norm is None else not_negative("max_norm", max_norm)
        self.eps = not_negative("eps", eps)
        self._count, self._mean, self._variance = torch.zeros(3, dtype=torch.float64).unbind()

    def _learn(self, norm: Tensor) -> Tensor:
        count, mean, variance = (x.to(norm) for x in (self._count, self._mean, self._variance))
        ready = count >= self.warmup_steps
        deviation = variance.sqrt()
        z = (norm - mean) / (deviation + self.eps)
        spike = ready & (z > self.z_threshold)
        edge = mean + self.z_threshold * (deviation + self.eps)
        threshold = torch.where(spike, mean + self.z_threshold**2 * deviation / z, torch.where(ready, edge, torch.inf))

        # Welford's update during warm-up, which makes mean and population variance of the norms so far; then the EMA.
        kept = torch.where(spike, threshold, norm)
        weight = torch.where(ready, 1.0 - self.alpha, 1.0 / (count + 1.0))
        step = kept - mean
        new_mean = mean + weight * step
        square = torch.where(ready, (kept - new_mean) ** 2, step * (kept - new_mean))
        known = norm.isfinite()
        self._count = count + known
        self._mean = torch.where(known, new_mean, mean)
        self._variance = torch.where(known, variance + weight * (square - variance), variance)
        return threshold if self.max_norm is None else threshold.clamp(max=self.max_norm)

    def state_dict(self) -> dict[str, Any]:
        return {"count": int(self._count), "mean": float(self._mean), "variance": float(self._variance)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._check_keys(state)
        values = [float(state[key]) for key in ("count", "mean", "variance")]
        self._count, self._mean, self._variance = torch.tensor(values, dtype=torch.float64).unbind()
