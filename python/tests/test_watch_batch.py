"""What the record holds on demand: orders of magnitude, and the chain rule taken apart on one and the same batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import isogain
from test_watch import batch, lines, mlp, train

FIXED = batch(torch.Generator().manual_seed(99), 32)


def magnitudes(tensor: torch.Tensor) -> dict[int, int]:
    """Values by bin, one at a time."""
    counts: dict[int, int] = {}
    for value in tensor.detach().double().flatten().tolist():
        at = 255 if not math.isfinite(value) else 0 if abs(value) < 2.0**-126 else math.frexp(value)[1] + 126
        counts[at] = counts.get(at, 0) + 1
    return counts


def occupied(histogram: dict[str, Any]) -> dict[int, int]:
    return {histogram["first_bin"] + at: count for at, count in enumerate(histogram["counts"]) if count}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_histograms_count_every_value_of_the_written_steps(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = mlp(1, width=16, he=True).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = model[0].weight.detach().clone()
    kept: dict[str, torch.Tensor] = {}

    def keep(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        kept.setdefault("activation", output.detach().clone())
        output.register_hook(lambda gradient: kept.setdefault("cotangent", gradient.clone()))

    model[1].register_forward_hook(keep)
    generator = torch.Generator().manual_seed(1)
    with isogain.watch(model, optimizer, run=tmp_path / "run", every=1, histogram=True) as w:
        for step in range(24):
            x, y = batch(generator)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x.to(dtype)), y)
            w.loss(loss)
            loss.backward()  # type: ignore[no-untyped-call]
            if step == 0:
                gradient = model[0].weight.grad.clone()
            optimizer.step()
    steps = lines(tmp_path / "run", "step")
    assert [step["step"] for step in steps if "histograms" in step] == [*range(21), 22], "the last one is not of the cadence"
    found = {(entry["name"], entry["kind"]): occupied(entry["histogram"]) for entry in steps[0]["histograms"]}
    assert found["0.weight", "weight"] == magnitudes(weight)
    assert found["0.weight", "gradient"] == magnitudes(gradient)
    assert found["1", "activation"] == magnitudes(kept["activation"])
    assert found["1", "cotangent"] == magnitudes(kept["cotangent"])
    for step in steps:
        count = {joint["name"]: joint["activation"]["count"] for joint in step["joints"]}
        for entry in step.get("histograms", []):
            if entry["kind"] == "activation":
                assert sum(entry["histogram"]["counts"]) == count[entry["name"]]


def test_a_loss_scale_moves_the_histogram_back(tmp_path: Path) -> None:
    found = []
    for scale in (1.0, 65536.0):
        torch.manual_seed(0)
        model = mlp(1, width=16, he=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        run = tmp_path / str(scale)
        with isogain.watch(model, optimizer, run=run, scaler=scaler, histogram=True):
            x, y = batch(torch.Generator().manual_seed(1))
            scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
        found.append(lines(run, "step")[0]["histograms"])
    plain, scaled = found
    assert plain == scaled
    assert {entry["kind"] for entry in plain} == {"activation", "cotangent", "weight", "gradient"}


def test_without_being_asked_for_none_is_recorded(tmp_path: Path) -> None:
    model = mlp(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer, run=tmp_path / "run") as w:
        train(model, optimizer, 2, w)
    assert all("histograms" not in step and "snapshot" not in step for step in lines(tmp_path / "run", "step"))


def test_the_model_is_checked_on_the_fixed_batch_at_the_steps_chosen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(3, he=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.CrossEntropyLoss()
    run = tmp_path / "run"
    with isogain.watch(model, optimizer, run=run, loss_fn=loss_fn, batch=FIXED, batch_at=[0, 3, 27]) as w:
        expected = {}
        for step in range(30):
            expected[step] = dict(isogain.check(model, FIXED, nn.functional.cross_entropy).flow)
            # What single factors would change, and other directions, are asked for where a model is checked, not while it
            # trains.
            del expected[step]["counterfactual"], expected[step]["jacobian"]
            train(model, optimizer, 1, w, seed=step)
    snapshots = {step["step"]: step["snapshot"] for step in lines(run, "step") if "snapshot" in step}
    assert sorted(snapshots) == [0, 3, 27], "27 is no step of the cadence and is written all the same"
    for step, snapshot in snapshots.items():
        assert (snapshot["step"], snapshot["batch"]) == (step, 32)
        assert snapshot["flow"] == expected[step]
    assert snapshots[0]["flow"] != snapshots[27]["flow"]


def test_by_default_at_powers_of_ten(tmp_path: Path) -> None:
    model = mlp(1, width=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"batch": FIXED, "loss_fn": nn.functional.cross_entropy}
    with isogain.watch(model, optimizer, run=tmp_path / "run", **settings) as w:
        train(model, optimizer, 102, w)
    steps = [step["step"] for step in lines(tmp_path / "run", "step") if "snapshot" in step]
    assert steps == [0, 1, 10, 100]


@pytest.mark.parametrize("asks", [False, True])
def test_the_same_bits_and_the_same_record_with_a_batch(tmp_path: Path, asks: bool) -> None:
    """The check's own pass is none of the training's: not in weights, running averages or random numbers, and not in what
    the record says of the step."""
    ends = []
    for name in ("plain", "checked"):
        torch.manual_seed(0)
        model = nn.Sequential(*mlp(2)[:-1], nn.Dropout(0.3), nn.BatchNorm1d(64), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loss_fn = nn.CrossEntropyLoss()
        settings: dict[str, Any] = {"batch": FIXED, "batch_at": [0, 2]} if name == "checked" else {}
        with isogain.watch(model, optimizer, run=tmp_path / name, loss_fn=loss_fn, histogram=asks, **settings) as w:
            generator = torch.Generator().manual_seed(1)
            for _ in range(5):
                x, y = batch(generator)
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
            assert not w._guard.failures
        steps = lines(tmp_path / name, "step")
        for step in steps:
            step.pop("snapshot", None)
        ends.append((steps, {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()))
    (plain, weights, state), (checked, others, other_state) = ends
    assert plain == checked
    assert torch.equal(state, other_state)
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_model_that_returns_its_loss_is_checked_with_it(tmp_path: Path) -> None:
    class Returns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.mse_loss(self.body(x), torch.zeros(len(x), 10))

    model = Returns()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings: dict[str, Any] = {"batch": FIXED[0], "loss_fn": lambda output: output}
    with isogain.watch(model, optimizer, run=tmp_path / "run", **settings) as w:
        x, _ = batch(torch.Generator().manual_seed(1))
        loss = model(x)
        loss.backward()
        optimizer.step()
        assert not w._guard.failures
    step = lines(tmp_path / "run", "step")[0]
    assert step["loss"] == pytest.approx(loss.item()), "the loss on the fixed batch is not told as the training's"
    assert step["snapshot"]["flow"]["head"]["loss"] != step["loss"]


def test_what_the_record_alone_can_hold_needs_a_record() -> None:
    model = mlp(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="histogram is for the record"):
        isogain.watch(model, optimizer, histogram=True)
    with pytest.raises(ValueError, match="batch is for the record"):
        isogain.watch(model, optimizer, batch=FIXED)
    with pytest.raises(ValueError, match="batch_at names steps for a batch"):
        isogain.watch(model, optimizer, batch_at=[0])
    with pytest.raises(ValueError, match="step -1; steps count from 0"):
        isogain.watch(model, optimizer, run="unused", batch=FIXED, batch_at=[-1])
