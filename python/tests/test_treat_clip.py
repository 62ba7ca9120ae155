"""Every kind of clipping that the core prescribes, as a treatment: what it does, what is told, and source that does the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import isogain
from isogain import clip
from isogain.surgery import CannotApply, treat

KINDS: dict[str, tuple[dict[str, float], str, Callable[[], Callable[[list[nn.Parameter]], Any]]]] = {
    "value": ({"threshold": 0.01}, "at 0.01", lambda: lambda ps: clip.by_value_(ps, 0.01)),
    "norm": ({"threshold": 0.1}, "at 0.1", lambda: lambda ps: clip.by_norm_(ps, 0.1)),
    "global-norm": ({"threshold": 0.1}, "at 0.1", lambda: lambda ps: clip.by_global_norm_(ps, 0.1)),
    "agc": ({"threshold": 0.02}, "at 0.02, but for 2", lambda: lambda ps: clip.agc_(ps[:2], 0.02)),
    "auto-clip": ({"threshold": 1.0, "percentile": 10.0}, " (percentile = 10)", lambda: clip.AutoClip(10.0)),
    "z-clip": (
        {"threshold": 0.5, "decay": 0.9, "warm_up": 2},
        "at 0.5 (decay = 0.9, warm_up = 2)",
        lambda: clip.ZClip(alpha=0.9, z_threshold=0.5, warmup_steps=2),
    ),
    "ada-gc": (
        {"threshold": 1.1, "start": 0.05, "warm_up": 2},
        "at 1.1 (start = 0.05, warm_up = 2)",
        lambda: clip.AdaGC(lambda_rel=1.1, lambda_abs=0.05, warmup_steps=2),
    ),
}


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def gradients(model: nn.Module, clipper: Callable[[nn.Module], Any] | None) -> list[Tensor]:
    """Those of five batches, of which the fourth is an outlier."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for step in range(5):
        x = torch.randn(16, 6, generator=generator) * (20.0 if step == 3 else 1.0)
        model.zero_grad()
        model(x).square().mean().backward()
        if clipper is not None:
            clipper(model)
        found += [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return found


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.allclose(x, y, rtol=1e-4, atol=1e-9) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_method_of_the_package(kind: str) -> None:
    settings, told, make = KINDS[kind]
    treatment = treat(model(), {"clip": {"kind": kind, **settings}})
    assert treatment.diff == [f"training: gradient is clipped by {kind} {told}".replace("  ", " ")]
    method = make()
    found = gradients(model(), treatment.clip)
    assert same(found, gradients(model(), lambda m: method(list(m.parameters()))))
    assert not same(found, gradients(model(), None)), "it must have had something to do"


@pytest.mark.parametrize("kind", KINDS)
def test_its_source_does_the_same(kind: str) -> None:
    treatment = treat(model(), {"clip": {"kind": kind, **KINDS[kind][0]}})
    lines = [line.removeprefix("# ") for line in treatment.code.split("is the model.\n")[1].splitlines()]
    before, _, between = "\n".join(lines).partition("between loss.backward() and optimizer.step():\n")
    own = model()
    names = {"torch": torch, "isogain": isogain, "model": own}
    exec(before, names)
    assert same(gradients(own, lambda _: exec(between, names)), gradients(model(), treatment.clip))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "agc", "threshold": 0.0}, "cannot apply clip = agc: needs a threshold above 0, not 0.0"),
        ({"kind": "norm"}, "cannot apply clip = norm: needs a threshold above 0, not None"),
        ({"kind": "value", "threshold": "1"}, "needs a threshold above 0, not '1'"),
        ({"kind": "by-value", "threshold": 0.2}, "clip = by-value: no such kind; known: value, norm, global-norm, agc, auto-clip"),
        ({"kind": "norm", "threshold": 1.0, "decay": 0.9}, "clip = norm: has no setting decay; it has threshold"),
        ({"kind": "auto-clip", "percentile": 101}, "percentile is 101; it must be between 0 and 100"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotApply, match=message):
        treat(model(), {"clip": change})


@pytest.mark.parametrize(
    ("activation", "deviation", "kinds"), [(nn.ReLU, 0.6, {"value", "norm", "global-norm"}), (nn.Tanh, 0.3, {"agc"})]
)
def test_what_the_core_prescribes_can_be_tried(activation: type[nn.Module], deviation: float, kinds: set[str]) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(32, 32) for _ in range(12)]
    for layer in layers:
        nn.init.normal_(layer.weight, 0.0, deviation)
    exploding = nn.Sequential(*(module for layer in layers for module in (layer, activation())), nn.Linear(32, 10))
    batch = torch.randn(64, 32), torch.arange(64) % 10
    optimizer = torch.optim.SGD(exploding.parameters(), lr=0.1)
    report = isogain.check(exploding, batch, nn.CrossEntropyLoss(), optimizer=optimizer)
    changes = [each["changes"] for each in report.prescriptions]
    clips = [each for each in changes if each.get("clip")]
    assert {each["clip"]["kind"] for each in clips} == kinds
    assert all(treat(exploding, each, batch=batch).clip is not None for each in clips)
