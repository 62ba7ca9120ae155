"""What clipping did over a run, and which threshold its own norms propose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from isogain.clip.report import Numbers, Report

PENDING = 128
"""How many reports wait for the next look at the device, which fetches them in one transfer."""

FEWEST_NORMS = 20
"""A 0.9 quantile of fewer norms rests on one of them."""


class Proposal(NamedTuple):
    """A threshold for `by_global_norm_`, and why."""

    threshold: float
    why: str

    def __str__(self) -> str:
        return f"{self.threshold:.3g} ({self.why})"


class Log:
    """Keeps what each report says. `report = log(clipper(parameters))` passes the report on and waits for nothing."""

    def __init__(self) -> None:
        self._numbers: list[Numbers] = []
        self._pending: list[Report] = []

    def __call__(self, report: Report) -> Report:
        self._pending.append(report)
        if len(self._pending) >= PENDING:
            self._fetch()
        return report

    def _fetch(self) -> None:
        if self._pending:
            device = self._pending[-1].total_norm.device
            vectors = torch.stack([report.vector().to(device) for report in self._pending])
            self._numbers += [Numbers(*row) for row in vectors.tolist()]
            self._pending = []

    @property
    def steps(self) -> Sequence[Numbers]:
        """The numbers of every step."""
        self._fetch()
        return self._numbers

    @property
    def norms(self) -> list[float]:
        """The norm before clipping, of every step."""
        return [step.norm_before for step in self.steps]

    @property
    def cosines(self) -> list[float]:
        """The cosine between gradient before and after, of every step."""
        return [step.cosine for step in self.steps]

    @property
    def acted(self) -> list[bool]:
        """Whether clipping changed anything, of every step."""
        return [step.clipped_tensor_fraction > 0.0 for step in self.steps]

    @property
    def clip_fraction(self) -> float:
        """Share of the steps where clipping changed anything, in [0, 1]; NaN without steps."""
        acted = self.acted
        return sum(acted) / len(acted) if acted else math.nan

    def propose(self, quantile: float = 0.9, window: int = 1000) -> Proposal:
        """A threshold for the global norm: the `quantile` of the last `window` finite norms before clipping.

        At 0.9 the largest tenth of the steps is shortened and the rest untouched, so clipping removes spikes without
        becoming a hidden change of learning rate, which it is where it acts on most steps. Pascanu, Mikolov and Bengio
        (2013) found half to ten times the average norm to work, and the proposal says where it stands in that. The
        window is there because norms drift over a run.
        """
        if not 0.0 < quantile < 1.0:
            raise ValueError(f"quantile is {quantile}; it must be between 0 and 1")
        norms = [norm for norm in self.norms if math.isfinite(norm)][-window:]
        if len(norms) < FEWEST_NORMS:
            raise ValueError(f"{len(norms)} finite norms are too few to propose a threshold; {FEWEST_NORMS} are enough")
        values = torch.tensor(norms, dtype=torch.float64)
        threshold = values.quantile(quantile).item()
        times = threshold / values.mean().item() if threshold else 0.0
        share = (values > threshold).double().mean().item()
        why = f"quantile {quantile:g} of {len(norms)} norms, {times:.1f} x their mean; clips {share:.0%} of them"
        return Proposal(threshold, why)

    def __len__(self) -> int:
        return len(self._numbers) + len(self._pending)

    def __str__(self) -> str:
        steps = self.steps
        if not steps:
            return "clipping: no steps yet"
        finite = sorted(norm for norm in self.norms if math.isfinite(norm))
        parts = [f"clipping acted on {sum(self.acted)} of {len(steps)} steps ({self.clip_fraction:.0%})"]
        if finite:
            parts.append(f"norm median {finite[len(finite) // 2]:.3g}, largest {finite[-1]:.3g}")
        if len(finite) < len(steps):
            parts.append(f"{len(steps) - len(finite)} not finite")
        known = [cosine for cosine in self.cosines if math.isfinite(cosine)]
        if known:
            parts.append(f"smallest cosine {min(known):.3f}")
        if len(finite) >= FEWEST_NORMS:
            parts.append(f"proposed max_norm {self.propose()}")
        return "; ".join(parts)

    __repr__ = __str__

    def state_dict(self) -> dict[str, Any]:
        """The numbers of every step, as plain lists."""
        return {"steps": [list(step) for step in self.steps]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state`."""
        self._numbers, self._pending = [Numbers(*step) for step in state["steps"]], []
