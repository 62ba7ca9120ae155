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


def test_a_batch_that_is_refused_or_empty_leaves_no_trace() -> None:
    module = small(3)
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        module(torch.randn(1, 4, dtype=torch.float64))
    x = torch.randn(0, 4, dtype=torch.float64, requires_grad=True)
    assert module(x).shape == (0, 4)
    module(x).sum().backward()
    assert torch.isfinite(module.weight.grad).all()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_its_statistics_do_not_overflow_in_half_precision() -> None:
    x = 300 * torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    half, whole = BatchRenorm(4).to(torch.float16), BatchRenorm(4)
    for module in (half, whole):
        module.running_var.fill_(6e4)
        module.num_batches_tracked.fill_(100)
    assert float(x.var()) > 7e4, "above what float16 holds"
    assert torch.allclose(half(x.half()).float(), whole(x), rtol=0.02, atol=0.02)


def test_a_ramp_has_a_length() -> None:
    with pytest.raises(ValueError, match="ramp is 0: must be at least 1"):
        BatchRenorm(4, 0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    for text, what in (("batch-renorm(ramp = 0)", "ramp"), ("group(groups = 0)", "groups")):
        with pytest.raises(CannotApply, match=f"{what} must be at least 1"):
            treat(model, {"norm": text}, batch=torch.randn(4, 8))


@pytest.mark.parametrize("momentum", [0.01, None])
def test_it_goes_on_from_where_a_batch_norm_was(momentum: float | None) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8, momentum=momentum)
    model = nn.Sequential(nn.Linear(8, 8), norm, nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        norm.weight.fill_(3.0)
    for _ in range(3):
        model(torch.randn(6, 8))
    treated = treat(model, {"norm": "batch-renorm(ramp = 20)"}, batch=torch.randn(4, 8))
    names: dict[str, Any] = {"model": copy.deepcopy(model)}
    exec(treated.code, names)
    x = torch.randn(6, 8)
    for module in (treated.model, names["model"]):
        assert torch.equal(module.eval()(x), copy.deepcopy(model).eval()(x))
    model(x)
    treated.model.train()(x)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.allclose(getattr(treated.model[1], name), getattr(norm, name)), name


@pytest.mark.parametrize("text", ["batch-renorm(ramp = 20)", "layer", "rms", "group(groups = 2)"])
def test_what_takes_a_batch_norms_place_has_its_type(text: str) -> None:
    norm = nn.BatchNorm1d(8, affine=False)
    model = nn.Sequential(nn.Linear(8, 8), norm, nn.ReLU(), nn.Linear(8, 2)).double()
    treated = treat(model, {"norm": text}, batch=torch.randn(4, 8, dtype=torch.float64))
    assert treated.model[1].weight.dtype == torch.float64


def test_a_frozen_batch_norm_stays() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    model.append(nn.Linear(8, 2))
    model[1].requires_grad_(False)
    treated = treat(model, {"norm": "batch-renorm(ramp = 20)"}, batch=torch.randn(4, 8)).model
    assert isinstance(treated[1], nn.BatchNorm1d) and isinstance(treated[4], BatchRenorm)
    model[4].requires_grad_(False)
    with pytest.raises(CannotApply, match="no hidden layer that an activation follows"):
        treat(model, {"norm": "layer"}, batch=torch.randn(4, 8))


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
