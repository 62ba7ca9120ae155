"""Between measured steps only the loss is wanted: what is left of the watcher there, and what it still must see."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import isogain
from isogain.watching.hooks import NOTHING
from test_watch import batch, mlp, train


def quiet(w: isogain.Watcher) -> bool:
    return w._level == NOTHING


def test_no_hook_of_the_model_is_there_where_only_the_loss_is_wanted() -> None:
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer) as w:
        assert model._forward_hooks and model._forward_pre_hooks
        train(model, optimizer, 21, w)
        assert quiet(w)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        train(model, optimizer, 1, w)
        assert not quiet(w) and model._forward_hooks, "step 22 is written"


class ReturnsItsLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.body(x), y)


def test_a_loss_that_the_model_returns_is_seen_at_every_step() -> None:
    model = ReturnsItsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(1)
    with isogain.watch(model, optimizer) as w:
        for _ in range(21):
            optimizer.zero_grad()
            model(*batch(generator)).backward()
            optimizer.step()
        assert quiet(w)
        model(*batch(generator)).backward()
        assert w._native.has_loss()


@pytest.mark.parametrize("step", [21, 33, 41])
def test_a_loss_that_is_not_finite_is_found_at_a_step_that_is_not_measured(step: int) -> None:
    torch.manual_seed(0)
    model = mlp(2, he=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with isogain.watch(model, optimizer) as w:
            train(model, optimizer, step, w)
            assert quiet(w) and not w.findings
            optimizer.zero_grad()
            w.loss(math.nan)
            optimizer.step()
            assert [(finding.rule, finding.step) for finding in w.findings] == [("non-finite", step)]


@pytest.mark.parametrize("by_name", [False, True])
def test_a_closure_tells_its_loss_at_a_step_that_is_not_measured(by_name: bool) -> None:
    torch.manual_seed(0)
    model = mlp(2, he=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = batch(torch.Generator().manual_seed(1))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y) + (math.nan if broken else 0.0)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    broken = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with isogain.watch(model, optimizer) as w:
            for step in range(22):
                broken = step == 21
                optimizer.step(closure=closure) if by_name else optimizer.step(closure)
            assert [finding.step for finding in w.findings] == [21]


@pytest.mark.parametrize(("losses", "expected"), [("mean", 2.0), ("sum", 6.0)])
def test_losses_of_one_step_are_put_together_whatever_they_are(losses: Any, expected: float) -> None:
    model = mlp(2)
    with isogain.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), losses=losses) as w:
        w.loss(1.0)
        w.loss(torch.tensor(2.0, dtype=torch.bfloat16, requires_grad=True))
        w.loss(torch.tensor([3], dtype=torch.int64))
        assert w._mean_loss() == expected
        assert w._mean_loss() is None


def test_many_losses_of_a_step_with_steps_passed_by_do_not_mix() -> None:
    torch.manual_seed(0)
    model = mlp(2, he=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer) as w:
        train(model, optimizer, 22, w)
        w.loss(7.0)
        assert w._mean_loss() == 7.0
