"""The time that a search may take."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import standin
import torch
from torch import Tensor, nn

import isogain.budget
import isogain.trials
from isogain.budget import seconds
from isogain.curing import cure
from isogain.executors.serial import Serial
from isogain.trials import Job, Outcome, Trial

LOSS = nn.functional.cross_entropy
EVERY = [standin.HE, standin.GLOROT, standin.SKIP, standin.BATCH_NORM, standin.CLIP]


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(200, 20, generator=generator), torch.arange(200) % 4


def within(budget: Any, **options: Any) -> Any:
    options = {"executor": "serial", **options}
    return cure(model, data(), LOSS, steps=20, batch_size=16, progress=False, budget=budget, **options)


def cost(monkeypatch: Any, update: float) -> None:
    """An update takes so many seconds, by every measurement."""
    monkeypatch.setattr(
        isogain.budget, "_measured", lambda trial: (update, 0.0, [1.0] * len(trial.arms))
    )


def test_a_time_has_a_unit() -> None:
    assert [seconds(text) for text in ("90s", "5m", "1.5h", " 2 m ")] == [90.0, 300.0, 5400.0, 120.0]
    assert seconds(timedelta(minutes=2)) == 120.0
    for wrong in ("5", "m", "5 minutes", "-3s", "1e3s", ""):
        with pytest.raises(ValueError, match="a time is a number with its unit, such as '90s'"):
            seconds(wrong)
    for nothing in ("0s", timedelta(0)):
        with pytest.raises(ValueError, match="it must be above 0"):
            seconds(nothing)


def test_what_does_not_fit_is_left_out_and_told(monkeypatch: Any) -> None:
    standin.install(monkeypatch, EVERY)
    # So slow by the measurement that an hour has room for 1,000 updates; they are as fast as ever.
    cost(monkeypatch, 3600.0 * 0.8 / 1000.0)
    result = within("1h")
    assert result.stopped is None and result.data["spent"]["steps"] <= 1000
    assert result.data["random_search"] is None
    assert {"what": "random search", "why": "the budget is too small"} in result.data["left_out"]
    assert "Left out, because the budget is too small: random search" in " ".join(result.render("markdown").split())
    cost(monkeypatch, 1e-6)
    assert within("1h").data["random_search"] is not None


def test_too_short_a_time_says_what_it_takes(monkeypatch: Any) -> None:
    standin.install(monkeypatch, EVERY)
    cost(monkeypatch, 10.0)
    with pytest.raises(ValueError, match=r"a budget of 60 s is too short: .* takes about \d{4} s; give that much, or fewer steps"):
        within("60s")


def test_when_the_time_is_over_the_best_so_far_is_told(monkeypatch: Any) -> None:
    """The clock jumps by a day when so many trainings are done."""
    standin.install(monkeypatch, EVERY)
    cost(monkeypatch, 1e-9)
    clock, done = time.time, [0]
    for trainings, is_known in ((40, True), (1, False)):

        class Late(Serial):
            def workers(self, trial: Trial, trainings: int = trainings) -> Any:
                class Counted(Trial):
                    def __call__(self, job: Job) -> Outcome:
                        done[0] += 1
                        return super().__call__(job)

                monkeypatch.setattr(time, "time", lambda: clock() + 86400.0 * (done[0] > trainings))
                return super().workers(Counted(**trial.__dict__))

        done[0] = 0
        result = within("1h", executor=Late())
        assert result.stopped == "budget" and (result.data is not None) == is_known
        if is_known:
            assert result.data["stopped"] == "budget" and result.data["spent"]["trials"] == trainings
            assert "the time was over before the search was: the best so far" in " ".join(str(result).split())
        else:
            assert "nothing can be compared" in str(result)


def test_what_trainings_cost_is_measured(monkeypatch: Any) -> None:
    """An arm whose update sleeps is told as the dearer one, and one that cannot be trained as an untreated one."""
    standin.install(monkeypatch, [standin.HE, standin.SKIP])

    class Watching(Serial):
        def workers(self, trial: Trial) -> Any:
            trial.arms[:] = [{}, {"sleeps": True}, {"breaks": True}]
            self.measured = isogain.budget._measured(trial)
            raise KeyboardInterrupt

    real = isogain.trials.build

    def built(build_model: Any, changes: dict[str, Any], data: Any, seed: int) -> Any:
        if "breaks" in changes:
            raise RuntimeError("no such model")
        treatment = real(build_model, {}, data, seed)
        if "sleeps" in changes:
            treatment.model.register_forward_hook(lambda *_: time.sleep(0.05))
        return treatment

    monkeypatch.setattr(isogain.trials, "build", built)
    watching = Watching()
    with pytest.raises(KeyboardInterrupt):
        within("1h", executor=watching)
    update, overhead, costs = watching.measured
    assert 0.0 < update < 0.05 and overhead > 0.0
    assert costs[0] == costs[2] == 1.0 and costs[1] > 0.05 / update
