"""The real check with prescriptions of one's own: tests of the cure choose what is tried."""

from __future__ import annotations

from typing import Any

import isogain.curing
from isogain.diagnose import check
from isogain.report import Report


def prescription(remedies: str, parameters: str, changes: dict[str, Any]) -> dict[str, Any]:
    """As the check lists them."""
    return {"remedies": remedies.split(" + "), "parameters": parameters, "changes": changes}


HE = prescription("rescale-init", "init = he-normal", {"init": "he-normal"})
GLOROT = prescription("rescale-init", "init = glorot-normal", {"init": "glorot-normal"})
SKIP = prescription("add-skip", "branch_scale = depth", {"skip": {"scale": "depth", "learnable": False}})
BATCH_NORM = prescription(
    "rescale-init + insert-batch-norm", "init = he-normal; norm = batch", {"init": "he-normal", "norm": "batch"}
)
CLIP = prescription("clip-by-global-norm", "threshold = 1", {"clip": {"kind": "global-norm", "threshold": 1.0}})
EPS = prescription("smaller-eps", "eps = 1e-12", {"optimizer": {"eps": 1e-12}})
SLOWER = prescription("change-learning-rate", "learning_rate = 0.01", {"optimizer": {"learning_rate": 0.01}})
TARGET = prescription("scale-input", "standardize_target = true", {"target": "standardise"})


def install(monkeypatch: Any, prescriptions: list[dict[str, Any]]) -> None:
    """Every model counts as ill, and gets these prescriptions."""

    class Chosen(Report):
        is_ill = True  # type: ignore[assignment]

        @property
        def prescriptions(self) -> list[dict[str, Any]]:  # type: ignore[override]
            return [{**each, "recipe": self.data["recipe"]} for each in prescriptions]

    def chosen(*args: Any, **options: Any) -> Report:
        return Chosen(check(*args, **options)._checked)

    monkeypatch.setattr(isogain.curing, "check", chosen)
