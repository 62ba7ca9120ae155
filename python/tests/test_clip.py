"""Clipping: every method against its formula in a plain loop, against torch, and what it says about itself."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import isogain
from isogain import clip
from isogain.clip.gradients import Gradients as Gathered

Gradients = list[Tensor]
Clip = Callable[..., clip.Report]

SHAPES = [(5, 3), (4,), (), (3, 2, 2, 2), (1, 6), (2, 3)]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def parameters(scale: float = 3.0, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    made = []
    for index, shape in enumerate(SHAPES):
        parameter = nn.Parameter(torch.randn(shape, dtype=dtype))
        parameter.grad = scale * (1.0 + index) * torch.randn(shape, dtype=dtype)
        made.append(parameter)
    return made


def twins(made: list[nn.Parameter]) -> list[nn.Parameter]:
    """The same parameters and gradients once more."""
    copies = []
    for parameter in made:
        copies.append(nn.Parameter(parameter.detach().clone()))
        copies[-1].grad = None if parameter.grad is None else parameter.grad.clone()
    return copies


def gradients(made: list[nn.Parameter]) -> Gradients:
    return [parameter.grad.clone() for parameter in made if parameter.grad is not None]


def equal(a: list[nn.Parameter], b: list[nn.Parameter]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(gradients(a), gradients(b), strict=True))


def with_gradient(*values: float, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(len(values), dtype=dtype))
    parameter.grad = torch.tensor(values, dtype=dtype)
    return parameter


def flat(tensors: Gradients) -> list[float]:
    return [float(value) for tensor in tensors for value in tensor.double().reshape(-1)]


def length(values: list[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values))


def check(report: clip.Report, before: Gradients, after: Gradients, tolerance: float = 1e-12) -> None:
    """What the report says against the gradients themselves."""
    b, a = flat(before), flat(after)
    assert report.norm_before == pytest.approx(length(b), rel=tolerance)
    assert report.norm_after == pytest.approx(length(a), rel=tolerance)
    product = math.fsum(x * y for x, y in zip(b, a))
    assert report.cosine == pytest.approx(product / (length(b) * length(a)), rel=tolerance)
    changed = [not torch.equal(x, y) for x, y in zip(before, after)]
    assert report.acted == any(changed)
    assert report.clipped_tensor_fraction == pytest.approx(sum(changed) / len(changed))
    assert report.clipped_element_fraction == pytest.approx(sum(x != y for x, y in zip(b, a)) / len(b))


def same(values: Gradients, expected: Gradients, tolerance: float = 1e-12) -> None:
    for value, want in zip(values, expected, strict=True):
        torch.testing.assert_close(value.double(), want.double(), rtol=tolerance, atol=tolerance)


# The formulas, in plain loops.


def plain_value(values: Gradients, threshold: float) -> Gradients:
    clamped = [[max(-threshold, min(threshold, value)) for value in flat([tensor])] for tensor in values]
    return [torch.tensor(c, dtype=torch.float64).view(tensor.shape) for c, tensor in zip(clamped, values)]


def plain_norm(values: Gradients, max_norm: float) -> Gradients:
    return [tensor * min(1.0, max_norm / (length(flat([tensor])) + 1e-6)) for tensor in values]


def plain_global(values: Gradients, max_norm: float) -> Gradients:
    factor = min(1.0, max_norm / (length(flat(values)) + 1e-6))
    return [tensor * factor for tensor in values]


def plain_agc(weights: Gradients, values: Gradients, clipping: float, eps: float = 1e-3) -> Gradients:
    clipped = []
    for weight, gradient in zip(weights, values):
        one_unit = sum(size > 1 for size in gradient.shape) <= 1
        result = gradient.clone()
        for part in [...] if one_unit else range(len(gradient)):
            norm, limit = length(flat([gradient[part]])), clipping * max(length(flat([weight[part]])), eps)
            if norm > limit:
                result[part] = gradient[part] * (limit / norm)
        clipped.append(result)
    return clipped


def plain_zclip(norms: list[float], alpha: float, limit: float, warmup: int, max_norm: float) -> list[float]:
    buffer: list[float] = []
    mean = variance = 0.0
    after = []
    for norm in norms:
        kept = norm
        if len(buffer) < warmup:
            buffer.append(norm)
            mean = sum(buffer) / len(buffer)
            variance = sum((x - mean) ** 2 for x in buffer) / len(buffer)
        else:
            z = (norm - mean) / (math.sqrt(variance) + 1e-6)
            if z > limit:
                kept = mean + limit * math.sqrt(variance) / (z / limit)
            mean = alpha * mean + (1 - alpha) * kept
            variance = alpha * variance + (1 - alpha) * (kept - mean) ** 2
        after.append(min(kept, max_norm))
    return after


def plain_adagc(
    steps: list[Gradients], relative: float, beta: float, absolute: float, warmup: int
) -> tuple[list[Gradients], list[float]]:
    gamma = [math.inf] * len(steps[0])
    result = []
    for step, values in enumerate(steps):
        norms = [length(flat([value])) for value in values]
        if step < warmup:
            factor = min(1.0, absolute / (length(norms) + 1e-6))
            result.append([value * factor for value in values])
            gamma = [min(old, norm * factor) for old, norm in zip(gamma, norms)]
            continue
        clipped = []
        for index, (value, norm) in enumerate(zip(values, norms)):
            limit = relative * gamma[index]
            clipped.append(value * (limit / (norm + 1e-6)) if norm > limit else value)
            gamma[index] = beta * gamma[index] + (1 - beta) * min(norm, limit)
        result.append(clipped)
    return result, gamma


@pytest.mark.parametrize("threshold", [0.0, 0.5, 4.0, 1e9])
@pytest.mark.parametrize(
    ("method", "plain"),
    [(clip.by_value_, plain_value), (clip.by_norm_, plain_norm), (clip.by_global_norm_, plain_global)],
)
def test_stateless_methods_are_their_formulas(method: Clip, plain: Any, threshold: float) -> None:
    made = parameters()
    before = gradients(made)
    report = method(made, threshold)
    same(gradients(made), plain(before, threshold))
    assert report.threshold == threshold
    if threshold > 0.0:
        check(report, before, gradients(made))


@pytest.mark.parametrize("clipping", [0.01, 2.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_agc_is_its_formula(clipping: float, dtype: torch.dtype) -> None:
    made = parameters(dtype=dtype)
    with torch.no_grad():
        made[0][2] = 0.0  # a unit at rest: eps lets it move
    before, weights = gradients(made), [parameter.detach() for parameter in made]
    report = clip.agc_(made, clipping)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    same(gradients(made), plain_agc(weights, before, clipping), tolerance)
    check(report, before, gradients(made), tolerance)
    assert report.threshold == clipping


def test_agc_takes_a_row_for_a_unit() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
    weight.grad = torch.tensor([[30.0, 40.0], [3e-6, 4e-6]], dtype=torch.float64)
    report = clip.agc_(weight, clipping=0.01, eps=1e-3)
    same([weight.grad], [torch.tensor([[0.03, 0.04], [3e-6, 4e-6]], dtype=torch.float64)])
    assert report.clipped_element_fraction == 0.5 and report.clipped_tensor_fraction == 1.0


# The same as torch.


@pytest.mark.parametrize("order", [1.0, 2.0, 3.5, math.inf])
def test_norms_of_every_order_are_torchs(order: float) -> None:
    made = parameters(dtype=torch.float32)
    twin = twins(made)
    total = nn.utils.clip_grad_norm_(twin, 1.5, order)
    report = clip.by_global_norm_(made, 1.5, order)
    assert torch.equal(report.total_norm, total) and equal(made, twin)


@pytest.mark.parametrize("order", [0.0, -1.0, math.nan])
def test_an_order_that_is_no_norm_is_an_error(order: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        clip.by_global_norm_(parameters(), 1.0, order)


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dtypes", ["f32", "bf16", "f16", "f64", "f32 bf16 f64"])
def test_the_same_as_torch_to_the_last_bit(foreach: bool | None, scale: float, dtypes: str) -> None:
    known = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "f64": torch.float64}
    cycle = [known[name] for name in dtypes.split()]
    for ours_, theirs_, threshold in [
        (clip.by_global_norm_, nn.utils.clip_grad_norm_, 1.0),
        (clip.by_global_norm_, nn.utils.clip_grad_norm_, math.inf),
        (clip.by_value_, nn.utils.clip_grad_value_, 0.7),
    ]:
        made = []
        for index, shape in enumerate([(17, 9), (9,), (), (4, 3, 2), (0, 3), (33,)]):
            made.append(nn.Parameter(torch.zeros(shape, dtype=cycle[index % len(cycle)])))
            made[-1].grad = (scale * torch.randn(shape)).to(made[-1].dtype)
        twin = twins(made)
        total = theirs_(twin, threshold, foreach=foreach)
        report = ours_(made, threshold, foreach=foreach)
        assert equal(made, twin)
        if total is not None:
            assert torch.equal(report.total_norm, total) and report.total_norm.dtype == total.dtype


def test_norm_of_each_tensor_is_torch_on_each() -> None:
    made = parameters(dtype=torch.float32)
    twin = twins(made)
    for parameter in twin:
        nn.utils.clip_grad_norm_(parameter, 2.0)
    clip.by_norm_(made, 2.0)
    assert equal(made, twin)


# Known numbers.


def test_norm_keeps_the_direction_value_turns_it() -> None:
    parameter = with_gradient(0.9, 100.0, dtype=torch.float64)
    report = clip.by_global_norm_(parameter, 1.0)
    same([parameter.grad], [torch.tensor([0.0089996, 0.9999595])], 1e-6)
    assert report.cosine == 1.0 and report.acted

    parameter = with_gradient(0.9, 100.0, dtype=torch.float64)
    before = math.degrees(math.atan2(0.9, 100.0))
    report = clip.by_value_(parameter, 1.0)
    assert parameter.grad.tolist() == [0.9, 1.0]
    after = math.degrees(math.atan2(*parameter.grad.tolist()))
    assert before == pytest.approx(0.516, abs=5e-4) and after == pytest.approx(41.99, abs=5e-3)
    assert math.degrees(math.acos(report.cosine)) == pytest.approx(after - before, rel=1e-9)


@pytest.mark.parametrize(("sigmas", "cosine"), [(1.0, 0.9503), (0.3, 0.8568), (0.1, 0.8187), (1e-5, 0.7979)])
def test_value_clipping_turns_a_gaussian_gradient(sigmas: float, cosine: float) -> None:
    # With t in standard deviations, E[g c] = E[c'] = erf(t / sqrt 2), E[c^2] = erf - 2 t phi(t) + t^2 erfc; as t -> 0
    # their ratio goes to sqrt(2 / pi).
    inside, density = math.erf(sigmas / math.sqrt(2)), math.exp(-(sigmas**2) / 2) / math.sqrt(2 * math.pi)
    exact = inside / math.sqrt(inside - 2 * sigmas * density + sigmas**2 * (1 - inside)) if sigmas > 1e-3 else cosine
    assert exact == pytest.approx(cosine, abs=1e-4) and 0.7979 == pytest.approx(math.sqrt(2 / math.pi), abs=1e-4)
    parameter = nn.Parameter(torch.zeros(1_000_000))
    parameter.grad = torch.randn(1_000_000)
    report = clip.by_value_(parameter, sigmas)
    assert report.cosine == pytest.approx(cosine, abs=1e-3)
    assert report.clipped_element_fraction == pytest.approx(1 - inside, abs=2e-3)


def test_zclip_threshold() -> None:
    clipper = clip.ZClip(eps=0.0)
    clipper.load_state_dict({"count": 25, "mean": 1.0, "variance": 0.01})
    parameter = with_gradient(2.0, dtype=torch.float64)  # z = 10, eta = z / 2.5 = 4
    report = clipper(parameter)
    assert report.threshold == pytest.approx(1.0625, rel=1e-12)
    assert parameter.grad.item() == pytest.approx(1.0625, rel=1e-6)
    state = clipper.state_dict()  # fed with the norm after clipping
    mean = 0.97 * 1.0 + 0.03 * 1.0625
    assert state["mean"] == pytest.approx(mean, rel=1e-12)
    assert state["variance"] == pytest.approx(0.97 * 0.01 + 0.03 * (1.0625 - mean) ** 2, rel=1e-12)


def descend(max_norm: float, steps: int) -> list[float]:
    """f = x^4 / 4 from 10 at learning rate 0.1; x after each step."""
    x = nn.Parameter(torch.tensor([10.0], dtype=torch.float64))
    path = []
    for _ in range(steps):
        x.grad = x.detach() ** 3
        clip.by_global_norm_(x, max_norm)
        with torch.no_grad():
            x -= 0.1 * x.grad
        path.append(float(x.detach()))
    return path


def test_clipped_descent_survives_a_cliff() -> None:
    assert descend(math.inf, 5)[-1] == pytest.approx(-1.9e118, rel=0.02)
    path = descend(1.0, 150)
    assert next(step for step, x in enumerate(path, 1) if abs(x) <= 0.5) == 104


# What torch gets wrong.


@pytest.mark.parametrize("foreach", [True, False])
def test_a_norm_that_overflows_is_taken_in_float64(foreach: bool) -> None:
    values = [1e20] * 100
    twin = with_gradient(*values)
    assert nn.utils.clip_grad_norm_(twin, 1.0).isinf() and not twin.grad.any()
    parameter = with_gradient(*values)
    report = clip.by_global_norm_(parameter, 1.0, foreach=foreach)
    assert float(report) == pytest.approx(1e21, rel=1e-6) and report.finite
    same([parameter.grad], [torch.full((100,), 0.1)], 1e-6)
    for method in (lambda p: clip.by_norm_(p, 1.0), clip.AdaGC(warmup_steps=1)):
        parameter = with_gradient(*values)
        assert method(parameter).norm_after == pytest.approx(1.0, rel=1e-6)
        same([parameter.grad], [torch.full((100,), 0.1)], 1e-6)
    parameter = with_gradient(*values)
    assert clip.agc_(parameter).norm_after == pytest.approx(1e-5, rel=1e-6)
    parameter = with_gradient(6e4, 6e4, dtype=torch.float16)
    assert clip.by_global_norm_(parameter, 1.0).norm_before == pytest.approx(84853, rel=1e-3)
    assert float(parameter.grad.norm()) == pytest.approx(1.0, rel=1e-3)


def stateful() -> list[clip.Clipper]:
    return [clip.AutoClip(50.0), clip.ZClip(warmup_steps=3), clip.AdaGC(warmup_steps=2, lambda_abs=1e9)]


def all_methods() -> list[Clip]:
    return [
        lambda p, **k: clip.by_value_(p, 0.5, **k),
        lambda p, **k: clip.by_norm_(p, 0.5, **k),
        lambda p, **k: clip.by_global_norm_(p, 0.5, **k),
        lambda p, **k: clip.agc_(p, 0.5, **k),
        *stateful(),
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays_where_it_is(bad: float) -> None:
    for index, method in enumerate(all_methods()):
        # Below AGC's limit of 0.5 times its eps, so that only what is broken could be changed.
        healthy, broken = with_gradient(1e-4, 2e-4), with_gradient(0.3, bad, 0.1)
        report = method([healthy, broken])
        assert healthy.grad.tolist() == pytest.approx([1e-4, 2e-4]), index
        after = broken.grad.tolist()
        assert after[0] == pytest.approx(0.3) and after[2] == pytest.approx(0.1), index
        if index == 0 and math.isinf(bad):
            assert after[1] == math.copysign(0.5, bad) and report.acted
        else:
            assert str(after[1]) == str(bad) and not report.acted, index
        assert not report.finite and not math.isfinite(report.item())
        assert math.isnan(report.cosine) and "not finite" in str(report)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_poisons_no_state(bad: float) -> None:
    for poisoned, clean in zip(stateful(), stateful()):
        for step in range(12):
            if step in (0, 3, 7):
                poisoned([with_gradient(1.0, bad), with_gradient(bad)])
                if isinstance(clean, clip.AdaGC):
                    clean.load_state_dict({**clean.state_dict(), "steps": clean.state_dict()["steps"] + 1})  # calls
            made = parameters(scale=1.0 + step % 3)[:2]
            twin = twins(made)
            poisoned(made)
            clean(twin)
            assert equal(made, twin)
        for key, value in clean.state_dict().items():
            assert torch.equal(torch.as_tensor(poisoned.state_dict()[key]), torch.as_tensor(value))


def test_error_if_nonfinite() -> None:
    for method in all_methods():
        with pytest.raises(RuntimeError, match="nan, so they cannot be clipped"):
            method([with_gradient(1.0, math.nan)], error_if_nonfinite=True)
        method([with_gradient(1.0, 2.0)], error_if_nonfinite=True)


@pytest.mark.parametrize("threshold", [-1.0, math.nan])
def test_a_setting_that_makes_no_sense_is_an_error(threshold: float) -> None:
    for method in (clip.by_value_, clip.by_norm_, clip.by_global_norm_, clip.agc_):
        with pytest.raises(ValueError, match="must be 0 or greater"):
            method(with_gradient(1.0), threshold)
    for make in (
        lambda: clip.AutoClip(101.0),
        lambda: clip.ZClip(alpha=1.0),
        lambda: clip.ZClip(z_threshold=0.0),
        lambda: clip.ZClip(warmup_steps=0),
        lambda: clip.ZClip(max_norm=threshold),
        lambda: clip.AdaGC(beta=1.0),
        lambda: clip.AdaGC(lambda_rel=0.0),
        lambda: clip.AdaGC(lambda_abs=threshold),
        lambda: clip.AdaGC(warmup_steps=-1),
    ):
        with pytest.raises(ValueError, match=" is "):
            make()


# What is given.


def test_parameters_come_in_every_form() -> None:
    for index in range(len(all_methods())):
        fresh = all_methods
        for nothing in ([], [nn.Parameter(torch.zeros(3))], iter([])):
            report = fresh()[index](nothing)
            assert float(report) == 0.0 and not report.acted and report.cosine == 1.0
        with pytest.warns(UserWarning, match="empty"):
            fresh()[index](parameter for parameter in [])
        made = parameters()
        before = gradients(made)
        without = [made[0], nn.Parameter(torch.zeros(7)), *made[1:]]
        report = fresh()[index](parameter for parameter in without)
        assert report.norm_before == pytest.approx(length(flat(before)))
        assert without[1].grad is None
        assert float(fresh()[index](with_gradient(3.0, 4.0))) == 5.0


def test_sparse_gradients_are_a_clear_error() -> None:
    table = nn.Embedding(10, 4, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    for method in all_methods():
        with pytest.raises(ValueError, match=r"parameter 1, shape \[10, 4\], has a sparse gradient"):
            method([with_gradient(1.0), table.weight])


def test_a_wrong_kind_of_parameter_is_a_clear_error() -> None:
    with pytest.raises(TypeError, match=r"hold a tuple.*model.parameters\(\)"):
        clip.by_global_norm_(nn.Linear(2, 2).named_parameters(), 1.0)  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("method", "plain"),
    [(clip.by_value_, plain_value), (clip.by_norm_, plain_norm), (clip.by_global_norm_, plain_global)],
)
def test_several_devices(method: Clip, plain: Any) -> None:
    made = parameters()
    moved = [nn.Parameter(p.detach().to("cuda" if index % 2 else "cpu")) for index, p in enumerate(made)]
    for target, source in zip(moved, made):
        target.grad = source.grad.to(target.device)
    before = gradients(made)
    report = method(moved, 0.5)
    after = [tensor.cpu() for tensor in gradients(moved)]
    same(after, plain(before, 0.5), 1e-6)
    check(report, before, after, 1e-6)


# Methods with a memory.


def run(clipper: clip.Clipper, norms: list[float]) -> tuple[list[float], list[clip.Report]]:
    """One gradient (0.6, 0.8) times each norm; the norms after clipping."""
    after, reports = [], []
    for norm in norms:
        parameter = with_gradient(0.6 * norm, 0.8 * norm, dtype=torch.float64)
        reports.append(clipper(parameter))
        after.append(float(parameter.grad.norm()))
    return after, reports


@pytest.mark.parametrize("percentile", [0.0, 10.0, 33.3, 100.0])
def test_autoclip_is_a_percentile_of_all_norms(percentile: float) -> None:
    norms = torch.rand(150, dtype=torch.float64).mul(5.0).tolist()
    after, reports = run(clip.AutoClip(percentile), norms)
    for step, norm in enumerate(norms):
        threshold = numpy.percentile(norms[: step + 1], percentile)
        assert reports[step].threshold == pytest.approx(threshold, rel=1e-12)
        assert after[step] == pytest.approx(min(norm, threshold), rel=1e-4)
        assert reports[step].acted == (norm > threshold * (1 + 1e-9))


@pytest.mark.parametrize("max_norm", [math.inf, 1.2])
def test_zclip_is_its_formula(max_norm: float) -> None:
    norms = (1.0 + 0.1 * torch.randn(120, dtype=torch.float64)).tolist()
    for spike in (40, 41, 90):
        norms[spike] *= 20.0
    clipper = clip.ZClip(warmup_steps=25, max_norm=None if math.isinf(max_norm) else max_norm)
    after, reports = run(clipper, norms)
    assert after == pytest.approx(plain_zclip(norms, 0.97, 2.5, 25, max_norm), rel=2e-6)
    assert all(reports[spike].acted and reports[spike].cosine == 1.0 for spike in (40, 41, 90))


def test_adagc_is_its_formula() -> None:
    clipper = clip.AdaGC(lambda_rel=1.1, beta=0.9, lambda_abs=2.0, warmup_steps=5)
    steps, clipped = [], []
    for step in range(20):
        made = parameters(scale=10.0 if step == 12 else 0.2)
        steps.append(gradients(made))
        report = clipper(made)
        clipped.append(gradients(made))
        check(report, steps[-1], clipped[-1], 1e-9)
    expected, gamma = plain_adagc(steps, 1.1, 0.9, 2.0, 5)
    for got, want in zip(clipped, expected):
        same(got, want, 1e-9)
    assert clipper.state_dict()["gamma"].tolist() == pytest.approx(gamma, rel=1e-9)
    assert clipper.state_dict()["steps"] == 20


def test_adagc_does_not_freeze_what_starts_at_zero() -> None:
    clipper = clip.AdaGC(warmup_steps=2, lambda_abs=100.0)
    for size in (0.0, 0.0, 0.0, 2.0, 2.0):
        late, always = with_gradient(size), with_gradient(1.0)
        clipper([late, always])
    assert late.grad.item() == 2.0


def test_adagc_tells_parameters_apart_by_place() -> None:
    clipper = clip.AdaGC(warmup_steps=1, lambda_rel=1.0, beta=0.5, lambda_abs=100.0)
    clipper([with_gradient(1.0), with_gradient(10.0)])
    second = with_gradient(20.0)
    report = clipper([nn.Parameter(torch.zeros(1)), second])
    assert second.grad.item() == pytest.approx(10.0, rel=1e-6) and report.threshold == 1.0
    with pytest.raises(ValueError, match="history of 2 parameters and was given 1"):
        clipper([second])


def play(clipper: clip.Clipper, part: list[Gradients]) -> list[Gradients]:
    result = []
    for values in part:
        made = parameters()
        for parameter, value in zip(made, values):
            parameter.grad = value.clone()
        clipper(made)
        result.append(gradients(made))
    return result


def test_a_resumed_run_is_the_same_run() -> None:
    for whole, stopped, resumed in zip(stateful(), stateful(), stateful()):
        scales = [1.0, 5.0, 0.5, 2.0, 7.0, 1.0, 3.0, 30.0, 1.0, 4.0]
        steps = [gradients(parameters(scale)) for scale in scales]
        expected = play(whole, steps)
        got = play(stopped, steps[:5])
        state = stopped.state_dict()
        saved = pickle.dumps(state)
        play(stopped, steps[5:])
        assert pickle.dumps(state) == saved, "a saved state is its own"
        resumed.load_state_dict(pickle.loads(saved))
        got += play(resumed, steps[5:])
        for a, b in zip(expected, got, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert any(not torch.equal(x, y) for a, b in zip(expected[5:], steps[5:]) for x, y in zip(a, b))
        with pytest.raises(ValueError, match="the state has keys"):
            resumed.load_state_dict({"unknown": 1})


# The report.


def test_the_report_stands_in_for_torchs_norm() -> None:
    parameter = with_gradient(3.0, 4.0)
    report = clip.by_global_norm_(parameter, 1.0)
    norm = torch.tensor(5.0)
    assert float(report) == report.item() == 5.0 and int(report) == 5 and bool(report)
    assert f"{report:.3f}" == f"{norm:.3f}" and "%.2f" % report == "5.00" and f"{report}" == f"{norm}"
    assert report > 1.0 and report >= norm and report < 6 and report <= 5.0 and report == 5.0 and report != 4.0
    assert (report * 2, 2 * report, report + 1, 1 + report, report - 1) == (10.0, 10.0, 6.0, 6.0, 4.0)
    assert (1 - report, report / 2, 10 / report, report**2) == (-4.0, 2.5, 2.0, 25.0)
    assert isinstance(report > 1.0, Tensor) and report / report == 1.0
    assert torch.isfinite(report) and torch.stack([report, norm]).tolist() == [5.0, 5.0] and torch.sqrt(report) > 2.2
    assert report.detach().cpu().shape == () and report.dtype == torch.float32 and report.isfinite()
    assert max([report.item(), 3.0]) == 5.0 and len({report, report}) == 1
    assert str(report) == "global norm: norm 5 -> 1 (threshold 1, cosine 1.0000, 100% of tensors, 100.0% of values)"
    for twin in (copy.deepcopy(report), pickle.loads(pickle.dumps(report))):
        assert twin.numbers == report.numbers and float(twin) == 5.0 and str(twin) == str(report)
    with pytest.raises(AttributeError):
        report.no_such_thing


def test_the_report_is_computed_when_looked_at_and_once() -> None:
    for method in all_methods():
        calls = []
        report = method(parameters())
        measure = report.measure

        def counted(measure: Any = measure, calls: list[int] = calls) -> Any:
            calls.append(1)
            return measure()

        report.measure = counted
        assert float(report) > 1.0 and report > 1.0 and not calls
        assert len((report.cosine, report.acted, report.norm_after, str(report))) == 4 and calls == [1]


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for an accelerator: reading a number, or a shape that depends on values."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
            torch.ops.aten.is_nonzero,
            torch.ops.aten.equal,
        )
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    # There may be none here: a CPU goes the same way where it is told that reading is not free.
    expected = []
    for method in all_methods():
        torch.manual_seed(1)
        expected.append([(gradients(made), method(made).numbers, gradients(made)) for made in [parameters()] * 4])
    monkeypatch.setattr(Gathered, "free_to_read", property(lambda _: False))
    for method, steps in zip(all_methods(), expected):
        torch.manual_seed(1)
        made = parameters()
        for before, numbers, after in steps:
            assert all(torch.equal(x, y) for x, y in zip(before, gradients(made)))
            with Waits() as waits:
                report = method(made)
                assert isinstance(report > 1.0, Tensor)
            assert waits.count == 0
            same(gradients(made), after)
            assert report.numbers == pytest.approx(numbers, rel=1e-12)


def test_an_accelerator_drops_a_step_whose_norm_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gathered, "free_to_read", property(lambda _: False))
    large, twin = with_gradient(*[1e20] * 100), with_gradient(*[1e20] * 100)
    report, total = clip.by_global_norm_(large, 1.0), nn.utils.clip_grad_norm_(twin, 1.0)
    assert torch.equal(report.total_norm, total) and equal([large], [twin]) and not large.grad.any()
    large = with_gradient(*[1e20] * 100)
    assert float(clip.by_global_norm_(large, 1.0, error_if_nonfinite=True)) == pytest.approx(1e21, rel=1e-6)
    same([large.grad], [torch.full((100,), 0.1)], 1e-6)
    healthy, broken = with_gradient(3.0, 4.0), with_gradient(math.nan, 1.0)
    report = clip.by_global_norm_([healthy, broken], 1.0)
    assert healthy.grad.tolist() == [3.0, 4.0] and broken.grad[1] == 1.0 and not report.acted and not report.finite


def test_the_report_keeps_no_gradient_alive() -> None:
    for method in all_methods():
        made = parameters()
        grads = [weakref.ref(parameter.grad) for parameter in made]
        report = method(made)
        for parameter in made:
            parameter.grad = None
        gc.collect()
        assert all(grad() is None for grad in grads)
        assert report.norm_before > 0.0


def test_a_number_read_late_is_of_its_own_step() -> None:
    for method in all_methods():
        made = parameters()
        before = gradients(made)
        report = method(made)
        after = gradients(made)
        for parameter in made:
            parameter.grad.zero_()
        method(parameters())
        check(report, before, after)


# The log.


def test_log_counts_and_proposes() -> None:
    log = clip.Log()
    assert str(log) == "clipping: no steps yet" and math.isnan(log.clip_fraction)
    norms = [1.0 + step / 100 for step in range(300)]
    for norm in norms:
        parameter = with_gradient(norm, dtype=torch.float64)
        assert isinstance(log(clip.by_global_norm_(parameter, 3.505)), clip.Report)
    assert len(log) == 300
    assert log.norms == pytest.approx(norms)
    assert log.acted == [norm > 3.505 for norm in norms]
    assert log.clip_fraction == pytest.approx(49 / 300)
    assert log.cosines == [1.0] * 300
    proposal = log.propose(0.9)
    assert proposal.threshold == pytest.approx(numpy.quantile(norms, 0.9))
    assert "quantile 0.9 of 300 norms" in proposal.why and "clips 10%" in proposal.why
    assert log.propose(0.5, window=100).threshold == pytest.approx(numpy.quantile(norms[-100:], 0.5))
    line = str(log)
    assert "\n" not in line and "49 of 300 steps (16%)" in line and "proposed max_norm 3.69" in line
    again = clip.Log()
    again.load_state_dict(pickle.loads(pickle.dumps(log.state_dict())))
    assert str(again) == line
    with pytest.raises(ValueError, match="between 0 and 1"):
        log.propose(1.0)


def test_log_keeps_what_is_not_finite_out_of_the_proposal() -> None:
    log = clip.Log()
    for step in range(40):
        log(clip.by_value_(with_gradient(math.nan if step % 4 == 0 else 1.0, 0.1), 0.5))
        if step == 20:
            with pytest.raises(ValueError, match="15 finite norms are too few"):
                log.propose()
    assert log.propose().threshold == pytest.approx(math.sqrt(1.01), rel=1e-6)
    assert "10 not finite" in str(log) and "smallest cosine 0.995" in str(log)


# The package.


def test_each_method_has_its_file_and_its_line() -> None:
    methods = {path.stem for path in Path(clip.__file__).parent.glob("*.py")}
    methods -= {"__init__", "clipper", "gradients", "log", "report"}
    exported = {name.rstrip("_").lower(): name for name in clip.__all__}
    assert len(methods) == 7
    for method in methods:
        assert f"| `{exported[method]}` |" in (clip.__doc__ or "")
    for name in clip.__all__:
        assert getattr(clip, name).__doc__, name


def test_isogain_imports_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import isogain\n"
        "assert isogain.__version__\n"
        "try: isogain.clip\n"
        "except ImportError as error: print('no', error.name)\n"
    )
    folder = Path(isogain.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.stdout.startswith("no torch"), done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_this'"):
        isogain.nothing_like_this
