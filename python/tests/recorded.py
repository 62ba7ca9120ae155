"""Runs on disk for tests, written here and not by isogain: the record is JSON Lines, and any program may write it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

RECIPE = """\
[network]
depth = {depth}
width = 16
activation = "relu"
init = "pytorch-default"

[optimizer]
learning_rate = {learning_rate}
"""


def moments(rms: float, count: int = 256, non_finite: int = 0) -> dict[str, Any]:
    """Moments of `count` values of that RMS."""
    return {
        "count": count, "sum": 0.0, "sum_of_squares": rms * rms * (count - non_finite), "min": -rms, "max": rms,
        "abs_max": rms, "zeros": count if rms == 0.0 else 0, "non_finite": non_finite,
    }  # fmt: skip


def linear(name: str, fan_out: int = 16) -> dict[str, Any]:
    drawn = {"init": "pytorch-default", "activation": "relu"}
    return {"name": name, "kind": "linear", "fan_in": 16, "fan_out": fan_out, **drawn}


def header(depth: int, learning_rate: float, names: list[str]) -> dict[str, Any]:
    return {
        "line": "header", "schema": 1, "version": "0.1.0",
        "recipe": RECIPE.format(depth=depth, learning_rate=learning_rate),
        "network": {"input": {"features": 16}, "outputs": 16, "ops": [linear(name) for name in names], "loss": "cross-entropy"},
        "data": {
            "source": "digits", "train_samples": 100, "test_samples": 20, "input": moments(1.0),
            "feature_rms_ratio": 1.0, "target": None, "classes": 10, "baseline_loss": math.log(10),
        },
        "seed": 0, "precision": "f32",
    }  # fmt: skip


def step(number: int, loss: float | None, names: list[str], gain: float, broken: bool = False) -> dict[str, Any]:
    """A step whose gradient shrinks by `gain` per layer on its way back."""

    def cotangent(index: int) -> dict[str, Any]:
        if broken and index < 3:
            return moments(0.0 if index == 0 else 1.0, non_finite=0 if index == 0 else 5)
        return moments(0.01 * gain ** (len(names) - 1 - index))

    return {
        "line": "step", "step": number, "loss": loss, "learning_rate": 0.05,
        "joints": [
            {"name": name, "activation": moments(0.9**i), "cotangent": cotangent(i)} for i, name in enumerate(names)
        ],
        "parameters": [
            {
                "name": f"{name}.weight", "weight": moments(0.1), "gradient": cotangent(i),
                "update": moments(0.05 * 0.01 * gain ** (len(names) - 1 - i)),
            }
            for i, name in enumerate(names)
        ],
        "clip": None,
    }  # fmt: skip


def finding(message: str = "the gradient shrinks by 10^11.6 from head to fc1") -> dict[str, Any]:
    return {
        "line": "finding", "rule": "vanishing-gradient", "level": "error", "layers": ["fc1", "head"], "step": 0,
        "message": message, "evidence": [], "causes": [], "remedies": ["rescale-init"],
    }  # fmt: skip


def write_run(
    folder: Path, *, depth: int = 8, steps: int = 40, learning_rate: float = 0.05, decay: float = 0.02,
    gain: float = 0.4, broken: bool = False, findings: list[dict[str, Any]] | None = None,
    names: list[str] | None = None, ended: bool = True,
) -> Path:  # fmt: skip
    """A run of a network of `depth` hidden layers and a head."""
    names = [f"fc{index}" for index in range(1, depth + 1)] + ["head"] if names is None else names
    losses = [2.3 * math.exp(-decay * number) for number in range(steps)]
    lines = [header(depth, learning_rate, names)]
    lines += findings or []
    lines += [step(number, losses[number], names, gain, broken and number == steps - 1) for number in range(steps)]
    if ended:
        lines.append({
            "line": "outcome", "seed": 0, "steps": steps, "losses": losses, "loss": losses[-1], "test_loss": losses[-1],
            "train_accuracy": 0.9, "test_accuracy": 0.8, "first_non_finite": None,
        })  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder
