"""A stand-in for `isogain.check` that finds what it is told: tests of the cure choose their own prescriptions."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any


def prescription(remedies: str, parameters: str, changes: dict[str, Any], predicted: str | None = None) -> dict[str, Any]:
    """As the check lists them."""
    return {"remedies": remedies.split(" + "), "parameters": parameters, "predicted": predicted, "changes": changes}


HE = prescription("rescale-init", "init = he-normal", {"init": "he-normal"}, "x1.00 per layer")
GLOROT = prescription("rescale-init", "init = glorot-normal", {"init": "glorot-normal"}, "x0.71 per layer")
SKIP = prescription("add-skip", "branch_scale = depth", {"skip": {"scale": "depth", "learnable": False}})
BATCH_NORM = prescription(
    "rescale-init + insert-batch-norm", "init = he-normal; norm = batch", {"init": "he-normal", "norm": "batch"}
)
CLIP = prescription("clip-by-global-norm", "threshold = 1", {"clip": {"kind": "global-norm", "threshold": 1.0}})
EPS = prescription("smaller-eps", "eps = 1e-12", {"optimizer": {"eps": 1e-12}})
SLOWER = prescription("change-learning-rate", "learning_rate = 0.01", {"optimizer": {"learning_rate": 0.01}})

FINDING = {"rule": "vanishing-gradient", "level": "error", "message": "the gradient shrinks by 10^11 from fc30 to fc1"}


def install(monkeypatch: Any, prescriptions: list[dict[str, Any]], findings: list[dict[str, Any]] | None = None) -> None:
    """Puts the stand-in in the place of `isogain.check`."""
    found = SimpleNamespace(findings=[FINDING] if findings is None else findings, prescriptions=prescriptions)
    module = ModuleType("isogain.check")
    module.check = lambda model, batch, loss_fn, optimizer=None: found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "isogain.check", module)
