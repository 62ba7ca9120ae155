"""Batch renormalisation on PyTorch models: the module against its formula and against the native engine's vectors, what
replaces what, and what a diagnosis says of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import isogain
from isogain.surgery import CannotApply, treat
from isogain.surgery.modules import BatchRenorm
from isogain.watching.operations import kind_of
from test_check_kinds import Around, joints, parts

FILE = Path(__file__).resolve().parents[2] / "crates/isogain/tests/golden/kinds/batch_renorm.json"


def small(batches: int) -> BatchRenorm:
    """Of four features, with running averages that the bounds cut off for some of them."""
    torch.manual_seed(0)
    module = BatchRenorm(4, ramp=20).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.5, 1.0, -1.5, 2.0]))
        module.bias.copy_(torch.tensor([0.1, 0.0, -0.2, 0.3]))
        module.running_mean.copy_(torch.tensor([0.3, -1.0, 0.0, 4.0]))
        module.running_var.copy_(torch.tensor([1.0, 30.0, 0.02, 2.0]))
        module.num_batches_tracked.fill_(batches)
    return module


def log_ratio(values: Tensor, others: Tensor) -> float:
    """Of the RMS of both."""
    return 0.5 * float((values.square().mean() / others.square().mean()).log())


def plain(module: BatchRenorm, x: Tensor) -> Tensor:
    """The formula, on `[rows, features]`."""
    part = min(1.0, float(module.num_batches_tracked) / module.ramp)
    r_max, d_max = 1 + 2 * part, 5 * part
    deviation = (x.var(0, unbiased=False) + module.eps).sqrt()
    running = (module.running_var + module.eps).sqrt()
    r = (deviation / running).detach().clamp(1 / r_max, r_max)
    d = ((x.mean(0) - module.running_mean) / running).detach().clamp(-d_max, d_max)
    return module.weight * ((x - x.mean(0)) / deviation * r + d) + module.bias


@pytest.mark.parametrize("batches", [0, 7, 20, 300])
def test_it_is_its_formula(batches: int) -> None:
    ours, theirs = small(batches), small(batches)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    weights = torch.randn(6, 4, dtype=torch.float64)
    (ours(x) * weights).sum().backward()
    (plain(theirs, twin) * weights).sum().backward()
    assert torch.allclose(x.grad, twin.grad, atol=1e-12)
    for found, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(found.grad, expected.grad, atol=1e-12)
    assert int(ours.num_batches_tracked) == batches + 1
    norm = nn.BatchNorm1d(4).double()
    norm.load_state_dict(theirs.state_dict())
    norm(x)
    for name, expected in norm.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], expected), name
    assert torch.allclose(ours.eval()(x), norm.eval()(x))


def test_it_begins_as_batch_norm_and_ends_as_its_evaluation() -> None:
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    norm = nn.BatchNorm1d(4).double()
    assert torch.allclose(BatchRenorm(4).double()(x), norm(x))
    late = BatchRenorm(4, ramp=10).double()
    late.num_batches_tracked.fill_(10)
    evaluated = late.eval()(x)
    assert torch.allclose(late.train()(x), evaluated)
    assert not torch.allclose(late.eval()(x), evaluated), "the running averages follow"


def test_it_agrees_with_the_native_engine() -> None:
    case: dict[str, Any] = json.loads(FILE.read_text())
    ops = {op["name"]: op for op in case["network"]["ops"]}
    for name, source in (("norm1", "conv1"), ("norm2", "fc2")):
        op = ops[name]
        mean, variance, batches = case["before"][name]
        module = BatchRenorm(op["features"], op["ramp"], op["eps"]).double()
        with torch.no_grad():
            module.weight.copy_(torch.tensor(case["parameters"][f"{name}.gamma"]))
            module.bias.copy_(torch.tensor(case["parameters"][f"{name}.beta"]))
            module.running_mean.copy_(torch.tensor(mean))
            module.running_var.copy_(torch.tensor(variance))
            module.num_batches_tracked.fill_(batches)

        def read(side: str, joint: str, features: int = op["features"]) -> Tensor:
            return torch.tensor(case[side][joint], dtype=torch.float64).reshape(-1, features)

        x = read("activations", source).requires_grad_()
        y = module(x)
        y.backward(read("cotangents", name))
        assert torch.allclose(y, read("activations", name), atol=1e-6)
        assert torch.allclose(x.grad, read("cotangents", source), atol=1e-6)
        running_mean, running_variance = case["running"][name]
        assert torch.allclose(module.running_mean, torch.tensor(running_mean, dtype=torch.float64), atol=1e-6)
        assert torch.allclose(module.running_var, torch.tensor(running_variance, dtype=torch.float64), atol=1e-6)


def test_a_model_in_evaluation_mode_and_too_few_axes() -> None:
    module = small(30)
    before = copy.deepcopy(module.state_dict())
    module.eval()(torch.randn(3, 4, dtype=torch.float64))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with pytest.raises(ValueError, match="got 1 axes"):
        module.train()(torch.randn(4, dtype=torch.float64))


def test_a_watched_run_knows_it() -> None:
    module = small(3)
    kind = {"kind": "norm", "norm": "batch-renorm", "features": 4, "eps": 1e-5}
    assert json.loads(kind_of(module)) == kind
    assert json.loads(kind_of(module.eval()))["kind"] == "other"


def test_it_takes_the_place_of_batch_norms() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    treated = treat(model, {"norm": "batch-renorm(ramp = 50)"}, batch=torch.randn(2, 1, 6, 6))
    assert treated.diff == ["1: BatchNorm2d becomes BatchRenorm(4, 50, 0.001)"]
    module = treated.model[1]
    assert isinstance(module, BatchRenorm) and (module.ramp, module.eps) == (50, 1e-3)
    bare = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    inserted = treat(bare, {"norm": "batch-renorm(ramp = 50)"}, batch=torch.randn(2, 1, 6, 6)).model[1]
    assert isinstance(inserted[0], BatchRenorm) and inserted[0].num_features == 4
    with pytest.raises(CannotApply, match=r"known: batch, batch-renorm\(ramp = 100\), layer"):
        treat(bare, {"norm": "batch-renorm"}, batch=torch.randn(2, 1, 6, 6))


def test_a_diagnosis_takes_it_apart_and_finds_no_fault_with_its_batch() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])

    def stack(norm: Any) -> nn.Sequential:
        torch.manual_seed(1)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(8, 8), norm(8), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(8, 3))

    def found(norm: Any) -> set[str]:
        result = isogain.check(stack(norm), (x, y), nn.functional.cross_entropy)
        return {finding["rule"] for finding in result.findings}

    assert "small-batch-norm" in found(nn.BatchNorm1d) and "small-batch-norm" not in found(BatchRenorm)
    model = Around(nn.Linear(5, 4), small(30).float(), nn.Linear(4, 2))
    x = torch.randn(6, 5)
    result = isogain.check(model, {"x": x}, lambda output: output.square().mean())
    split = parts(joints(result.flow)["inner"])
    ours, twin = model.inner, small(30).float()
    z = model.first(x).detach()
    leaf = z.clone().requires_grad_()
    output = plain(twin, leaf)
    output.retain_grad()
    model.last(output).square().mean().backward()
    deviation = (z.var(0, unbiased=False) + ours.eps).sqrt()
    running = (ours.running_var + ours.eps).sqrt()
    r = (deviation / running).clamp(1 / 3, 3)
    rescaled = output.grad * twin.weight.detach() * r / deviation
    assert split["rescale"] == pytest.approx(log_ratio(rescaled, output.grad), abs=1e-4)
    assert split["projection"] == pytest.approx(log_ratio(leaf.grad, rescaled), abs=1e-4)
