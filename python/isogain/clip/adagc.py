"""AdaGC: each gradient against its own recent norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isogain.clip.clipper import Clipper, shrink
from isogain.clip.gradients import EPS, Parameters, collect, not_negative, on_device, wide
from isogain.clip.report import Report, many_factors, nothing


class AdaGC(Clipper):
    """Clips each gradient g to the norm lambda_rel * gamma, where gamma averages its own norms after clipping.

    Wang et al., "AdaGC: Enhancing LLM Pretraining Stability via Adaptive Gradient Clipping", 2025, arXiv:2502.11034,
    tensor-wise, with the defaults of the authors' PyTorch code:

    * for the first `warmup_steps` calls all gradients are clipped by their global norm to `lambda_abs`, and gamma is
      the smallest norm a tensor had after that;
    * then |g| is brought down to lambda_rel * gamma where it is longer, and
      gamma <- beta gamma + (1 - beta) min(|g|, lambda_rel * gamma).

    A norm that is not finite leaves its tensor and its gamma as they are (in warm-up: all of them). So does a norm of
    exactly 0, as behind a zero-initialised branch: with gamma = 0 that tensor would be clipped to 0 for ever. A tensor
    first seen after warm-up starts with gamma = |g|. State goes by the place among the parameters: give the same ones
    in the same order. `report.threshold` is `lambda_abs`, a norm, during warm-up and `lambda_rel`, a ratio, after it.
    """

    method = "AdaGC"

    def __init__(
        self, lambda_rel: float = 1.04, beta: float = 0.99, lambda_abs: float = 1.0, warmup_steps: int = 100
    ) -> None:
        if not lambda_rel > 0.0:
            raise ValueError(f"lambda_rel is {lambda_rel}; it must be greater than 0")
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"beta is {beta}; it must be at least 0 and less than 1")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps is {warmup_steps}; it must be 0 or greater")
        self.lambda_rel, self.beta, self.warmup_steps = float(lambda_rel), float(beta), int(warmup_steps)
        self.lambda_abs = not_negative("lambda_abs", lambda_abs)
        self._steps = 0
        self._gamma: Tensor | None = None
        """One number for each parameter, those without a gradient included; inf where there is no history."""

    @torch.no_grad()
    def __call__(
        self, parameters: Parameters, *, error_if_nonfinite: bool = False, foreach: bool | None = None
    ) -> Report:
        gradients = collect(parameters, foreach)
        warming = self._steps < self.warmup_steps
        threshold = self.lambda_abs if warming else self.lambda_rel
        if not gradients.tensors:
            return nothing(self.method, threshold)
        norms, total = gradients.norms(error_if_nonfinite=error_if_nonfinite)
        self._steps += 1
        norms, total = norms.to(wide(norms.device)), total.to(wide(norms.device))
        state = self._state(len(gradients.parameters), norms)
        places = on_device(gradients.places, norms.device)
        gamma = state[places]
        if warming:
            one = torch.clamp(self.lambda_abs / (total + EPS), max=1.0)
            factors = torch.where(total.isfinite(), one, 1.0).expand_as(norms)
            known = (norms > 0.0) & total.isfinite()
            updated = torch.minimum(gamma, norms * factors)
        else:
            gamma = torch.where(gamma.isfinite(), gamma, norms)
            factors = torch.where(norms > 0.0, shrink(norms, self.lambda_rel * gamma), 1.0)
            known = (norms > 0.0) & norms.isfinite()
            updated = self.beta * gamma + (1.0 - self.beta) * torch.minimum(norms, self.lambda_rel * gamma)
        self._gamma = state.index_copy(0, places, torch.where(known, updated, state[places]))
        gradients.scale_each_(factors)
        return many_factors(self.method, total, norms, factors, gradients.elements(), threshold)

    def _state(self, count: int, norms: Tensor) -> Tensor:
        if self._gamma is None:
            return norms.new_full((count,), torch.inf)
        if len(self._gamma) != count:
            raise ValueError(
                f"AdaGC has the history of {len(self._gamma)} parameters and was given {count}; it tells them apart by "
                "their place, so give the same ones in the same order (one AdaGC for each set of parameters)"
            )
        return self._gamma.to(norms)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "gamma": None if self._gamma is None else self._gamma.cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._check_keys(state)
        self._steps = int(state["steps"])
        gamma = state["gamma"]
        self._gamma = None if gamma is None else torch.as_tensor(gamma, dtype=torch.float64).clone()
