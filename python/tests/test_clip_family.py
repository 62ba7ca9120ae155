"""AGC, AutoClip, ZClip and AdaGC against the vectors that the Rust engine is held against too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from isogain import clip

FILE = Path(__file__).resolve().parents[2] / "crates/isogain/tests/golden/clip/family.json"

# torch divides by norm + 1e-6, as clip_grad_norm_ does; a threshold is of order 1 here.
TOLERANCE = 5e-6


def clipper(kind: str, settings: dict[str, float]) -> Callable[[list[torch.nn.Parameter]], Any]:
    if kind == "agc":
        # The last layer is left alone: the first two are the others.
        return lambda parameters: clip.agc_(parameters[:2], settings["threshold"])
    if kind == "auto-clip":
        return clip.AutoClip(settings["percentile"])
    if kind == "z-clip":
        return clip.ZClip(settings["decay"], settings["threshold"], int(settings["warm_up"]))
    return clip.AdaGC(settings["threshold"], settings["decay"], settings["start"], int(settings["warm_up"]))


def transposed(values: list[Any]) -> torch.Tensor:
    tensor = torch.tensor(values, dtype=torch.float64)
    return tensor.T.contiguous() if tensor.dim() == 2 else tensor


@pytest.mark.skipif(not FILE.exists(), reason="the vectors are in the repository, not in the package")
@pytest.mark.parametrize("kind", ["agc", "auto-clip", "z-clip", "ada-gc"])
def test_both_halves_clip_alike(kind: str) -> None:
    vectors = json.loads(FILE.read_text())
    expected = vectors["kinds"][kind]
    parameters = {name: torch.nn.Parameter(transposed(values)) for name, values in vectors["parameters"].items()}
    clips = clipper(kind, expected["settings"])
    for gradients, norm in zip(vectors["steps"], expected["norms"], strict=True):
        for name, values in gradients.items():
            parameters[name].grad = transposed(values)
        clips(list(parameters.values()))
        after = torch.cat([parameter.grad.flatten() for parameter in parameters.values() if parameter.grad is not None])
        assert float(after.norm()) == pytest.approx(norm, rel=TOLERANCE)
    for name, values in expected["last"].items():
        assert torch.allclose(parameters[name].grad, transposed(values), rtol=TOLERANCE, atol=0.0)
