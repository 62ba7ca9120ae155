"""AutoClip: the threshold is a percentile of the norms so far."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isogain.clip.clipper import GlobalNormClipper


class AutoClip(GlobalNormClipper):
    """Clips the global norm to the `percentile`-th percentile of all norms before clipping, this step's included.

    Seetharaman, Wichern, Pardo and Le Roux, "AutoClip: Adaptive Gradient Clipping for Source Separation Networks",
    2020, arXiv:2007.14469; percentile 10 is the paper's, so by design nine steps in ten are clipped and the method
    acts like a normalised step. Linear interpolation between norms, as in the authors' code. The history is of all
    steps, so it follows a falling norm slowly. A norm that is not finite is not remembered.

    `report.threshold` is the percentile. Memory: one number for each step, kept sorted on the gradients' device.
    """

    method = "AutoClip"

    def __init__(self, percentile: float = 10.0) -> None:
        if not 0.0 <= percentile <= 100.0:
            raise ValueError(f"percentile is {percentile}; it must be between 0 and 100")
        self.percentile = float(percentile)
        self._norms = torch.empty(0, dtype=torch.float64)
        """Ascending; the places not yet used hold inf."""
        self._count = torch.zeros((), dtype=torch.int64)
        self._calls = 0
        """At least `_count`, and known without asking the device."""

    def _learn(self, norm: Tensor) -> Tensor:
        self._make_room(norm)
        index = torch.arange(len(self._norms), device=norm.device)
        place = torch.searchsorted(self._norms, norm)
        moved = torch.where(index < place, self._norms, torch.where(index == place, norm, self._norms.roll(1)))
        known = norm.isfinite()
        self._norms = torch.where(known, moved, self._norms)
        self._count = self._count + known
        rank = (self._count - 1).clamp(min=0).to(norm.dtype) * (self.percentile / 100.0)
        low = self._norms.take(rank.floor().long())  # indexing would wait for the device
        high = self._norms.take(rank.ceil().long())
        return torch.where(rank == rank.floor(), low, low + (high - low) * (rank - rank.floor()))

    def _make_room(self, norm: Tensor) -> None:
        self._calls += 1
        self._norms, self._count = self._norms.to(norm), self._count.to(norm.device)
        if self._calls > len(self._norms):
            self._norms = torch.cat([self._norms, self._norms.new_full((max(64, len(self._norms)),), torch.inf)])

    def state_dict(self) -> dict[str, Any]:
        return {"norms": self._norms[: int(self._count)].cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._check_keys(state)
        self._norms = torch.as_tensor(state["norms"], dtype=torch.float64).sort().values
        self._calls = len(self._norms)
        self._count = torch.tensor(self._calls)
