"""A run that is there goes on."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import isogain
from test_watch import lines, mlp, train


def run_of(model: nn.Module, steps: int, folder: Path, seed: int = 1, **settings: int) -> isogain.Watcher:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer, run=folder, **settings) as w:
        train(model, optimizer, steps, w, seed=seed)
        assert not w._guard.failures
    return w


def test_it_goes_on_after_its_last_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2, he=True)
    run_of(model, 23, tmp_path)
    header = lines(tmp_path, "header")
    run_of(model, 10, tmp_path)
    assert lines(tmp_path, "header") == header
    assert lines(tmp_path, "resumed") == [{"line": "resumed", "step": 23}]
    steps = [line["step"] for line in lines(tmp_path, "step")]
    assert steps == [*range(21), 22, 25, 28, 32]
    joints = {line["step"]: [joint["name"] for joint in line["joints"]] for line in lines(tmp_path, "step")}
    assert joints[25] == joints[0]


def test_from_a_checkpoint_what_came_after_it_is_left_behind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2, he=True)
    run_of(model, 30, tmp_path)
    run_of(model, 5, tmp_path, first_step=12)
    assert lines(tmp_path, "resumed") == [{"line": "resumed", "step": 12}]
    assert [line["step"] for line in lines(tmp_path, "step")][-5:] == [12, 13, 14, 15, 16]


def test_a_training_that_goes_on_elsewhere_counts_from_there(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run_of(mlp(2, he=True), 3, tmp_path, first_step=1001)
    assert [line["step"] for line in lines(tmp_path, "step")] == [1001], "the only one measured, and in full"
    assert len(lines(tmp_path, "step")[0]["joints"]) == 5
    assert lines(tmp_path, "resumed") == []


def test_what_breaks_after_the_pause_is_found_at_its_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2, he=True)
    run_of(model, 5, tmp_path)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with isogain.watch(model, optimizer, run=tmp_path) as w:
            train(model, optimizer, 2, w)
            with torch.no_grad():
                model[0].weight[0, 0] = float("nan")
            train(model, optimizer, 1, w)
    assert [(finding.rule, finding.step) for finding in w.findings] == [("non-finite", 7)]
    assert lines(tmp_path, "finding")[-1]["step"] == 7


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: mlp(2, width=32), "its 0.weight has 4096 values, and that of this one 2048"),
        (lambda: nn.Sequential(*mlp(2), nn.Linear(10, 10)), "it has no parameter 5.weight, and this one has"),
        (lambda: nn.Sequential(*mlp(2)[:3]), "it has a parameter 4.weight, and this one has none of that name"),
    ],
)
def test_the_run_of_another_model_is_refused(tmp_path: Path, other: type[nn.Module], message: str) -> None:
    run_of(mlp(2), 3, tmp_path)
    before = (tmp_path / "run.jsonl").read_bytes()
    model = other()
    with pytest.raises(ValueError, match="holds the run of another model: " + message):
        isogain.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), run=tmp_path)
    assert (tmp_path / "run.jsonl").read_bytes() == before
    assert not any(module._forward_hooks for module in model.modules()), "nothing is left of the watcher"


def test_a_step_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="first_step is -1; steps count from 0"):
        isogain.watch(mlp(1), first_step=-1)
