"""Batch norm over parts of a batch on PyTorch models: the module against batch norm of each part, and what it takes the place
of."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

import isogain
from isogain.surgery import CannotApply, treat
from isogain.surgery.modules import GhostBatchNorm
from isogain.watching.operations import kind_of


def both(momentum: float | None = 0.1) -> tuple[GhostBatchNorm, nn.BatchNorm2d]:
    """With the same weights."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, momentum=momentum).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    module = GhostBatchNorm(4, 3, momentum=momentum).double()
    module.load_state_dict(norm.state_dict())
    return module, norm


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("samples", [7, 8])
def test_it_is_batch_norm_of_each_part_one_after_the_other(samples: int, momentum: float | None) -> None:
    ours, theirs = both(momentum)
    # Of 8 samples two parts of 4, of 7 one more and one less.
    x = torch.randn(samples, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    weights = torch.randn(samples, 4, 5, 5, dtype=torch.float64)
    output = ours(x)
    (output * weights).sum().backward()
    expected = torch.cat([theirs(part) for part in twin.split(4)])
    (expected * weights).sum().backward()
    assert torch.allclose(output, expected) and torch.allclose(x.grad, twin.grad)
    for found, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(found.grad, wanted.grad)
    for name, wanted in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], wanted), name
    assert torch.allclose(ours.eval()(x), theirs.eval()(x))


def test_parts_are_as_many_as_are_large_enough() -> None:
    module = GhostBatchNorm(4, 64)
    assert [module.parts(samples) for samples in (1, 64, 127, 128, 200, 509, 512)] == [1, 1, 1, 2, 3, 7, 8]
    for wrong in (1, 2.5):
        with pytest.raises(ValueError, match=f"ghost is {wrong}: must be a whole number of samples, at least 2"):
            GhostBatchNorm(4, wrong)  # type: ignore[arg-type]


def test_what_a_batch_norm_did_not_train_or_keep_stays_so() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8, affine=False, track_running_stats=False)
    model = nn.Sequential(nn.Linear(8, 8), norm, nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    model[4].weight.requires_grad_(False)
    x = torch.randn(3, 8)
    treated = treat(model, {"norm": "batch(ghost = 4)"}, batch=x).model
    trained = [name for name, parameter in treated.named_parameters() if parameter.requires_grad]
    assert trained == [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert torch.allclose(treated.eval()(x), model.eval()(x))


def test_it_takes_the_place_of_batch_norms_and_goes_on_from_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8, eps=1e-3), nn.ReLU(), nn.Linear(8, 2))
    model(torch.randn(16, 8))
    treated = treat(model, {"norm": "batch(ghost = 4)"}, batch=torch.randn(8, 8))
    assert treated.diff == ["1: BatchNorm1d becomes GhostBatchNorm(8, 4, 0.001)"]
    names: dict[str, Any] = {"model": copy.deepcopy(model)}
    exec(treated.code, names)
    x = torch.randn(8, 8)
    for other in (treated.model, names["model"]):
        assert type(other[1]).__name__ == "GhostBatchNorm" and other[1].ghost == 4
        assert torch.equal(other.eval()(x), copy.deepcopy(model).eval()(x))
    bare = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(CannotApply, match="no batch norm whose batch could be taken in parts"):
        treat(bare, {"norm": "batch(ghost = 4)"}, batch=x)
    with pytest.raises(CannotApply, match="ghost must be at least 2"):
        treat(model, {"norm": "batch(ghost = 1)"}, batch=x)


def test_a_watched_run_knows_it() -> None:
    kind = {"kind": "norm", "norm": "batch", "features": 4, "eps": 1e-5}
    assert json.loads(kind_of(GhostBatchNorm(4))) == kind
    assert json.loads(kind_of(GhostBatchNorm(4).eval()))["kind"] == "other"


def test_a_diagnosis_measures_what_it_does_to_the_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), GhostBatchNorm(8, 4), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(16, 8), torch.arange(16) % 3
    twin = copy.deepcopy(model)
    before = twin[0](x)
    before.retain_grad()
    behind = twin[1](before)
    behind.retain_grad()
    nn.functional.cross_entropy(twin[3](twin[2](behind)), y).backward()
    result = isogain.check(model, (x, y), nn.functional.cross_entropy)
    _, norm, _ = result.flow["joints"]
    assert (norm["name"], norm["kind"]) == ("1", "norm")
    expected = 0.5 * float((before.grad.square().mean() / behind.grad.square().mean()).log())
    assert norm["log_gain"] == pytest.approx(expected, abs=1e-5)
    split = {part["cause"]: part["log_gain"] for part in norm["split"]}
    assert sum(split.values()) == pytest.approx(expected, abs=1e-5) and split["projection"] < 0


def test_a_diagnosis_judges_the_parts() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(64, 8), torch.arange(64) % 3

    def found(ghost: int) -> set[str]:
        torch.manual_seed(1)
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.Linear(8, 8), GhostBatchNorm(8, ghost), nn.ReLU()]
        result = isogain.check(nn.Sequential(*layers, nn.Linear(8, 3)), (x, y), nn.functional.cross_entropy)
        return {finding["rule"] for finding in result.findings}

    assert "small-batch-norm" in found(3) and "small-batch-norm" not in found(32)
