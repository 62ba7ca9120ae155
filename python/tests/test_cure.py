"""The cure of PyTorch models: what it claims, that it is fair and the same again, and what goes wrong without ending
it."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import standin
import torch
from torch import Tensor, nn

import isogain.curing
from isogain import executors
from isogain.curing import cure
from isogain.data import read
from isogain.executors.processes import Processes
from isogain.executors.serial import Serial
from isogain.result import Result
from isogain.surgery import treat
from isogain.trials import Job, Outcome, Trial, accuracy, build, judge
from isogain.untrained import untrained_loss

torch.set_num_threads(1)


def mlp(depth: int, width: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(20, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def deep() -> nn.Module:
    """30 layers of width 64 with PyTorch's default initialisation: the gradient vanishes."""
    return mlp(30, 64)


def shallow() -> nn.Module:
    return mlp(2, 8)


def blobs(count: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Four classes around four centres."""
    generator = torch.Generator().manual_seed(0)
    centres = 1.5 * torch.randn(4, 20, generator=generator)
    targets = torch.arange(count) % 4
    return centres[targets] + torch.randn(count, 20, generator=generator.manual_seed(seed + 1)), targets


LOSS = nn.functional.cross_entropy


def quick(monkeypatch: Any, prescriptions: list[dict[str, Any]], build_model: Any = shallow, **options: Any) -> Any:
    standin.install(monkeypatch, prescriptions)
    return cure(build_model, blobs(), LOSS, **{"steps": 20, "batch_size": 16, "progress": False, **options})


@pytest.fixture(scope="module")
def cured() -> Result:
    """The first variant of each remedy that the check prescribes, and one that plain SGD cannot take."""
    with pytest.MonkeyPatch.context() as patch:
        every = isogain.curing.check(deep(), blobs(), LOSS).prescriptions
        first = {tuple(each["remedies"]): each for each in reversed(every) if len(each["remedies"]) == 1}
        assert len(first) >= 6
        standin.install(patch, [*reversed(first.values()), standin.SLOWER, standin.EPS])
        random = torch.get_rng_state()
        result = cure(deep, (blobs(), blobs(200, 7)), LOSS, steps=60, batch_size=32, progress=False)
        assert torch.equal(random, torch.get_rng_state())
        return result


def test_a_deep_network_is_cured_on_every_seed(cured: Result) -> None:
    assert cured.data is not None
    untreated = cured.data["baseline"]["seeds"]
    assert len(untreated) == 3 and all(run["loss"] > 1.38 and run["train_accuracy"] < 0.3 for run in untreated)
    assert len(cured.data["baseline"]["learning_rates"]) == 4
    assert cured.improves and cured.best is not None
    first = cured.verdicts[0]
    assert (first.remedies, first.verdict, first.won, first.seeds) == (cured.best.remedies, "improves", 3, 3)
    assert all(run["loss"] < 0.5 and run["test_accuracy"] > 0.8 for run in cured.best.seeds)
    assert cured.best.effect["seeds"] == 3 and cured.best.effect["superiority"] == 1.0
    assert cured.data["random_search"]["steps"] <= 60 * 60
    learning_rate_alone = [v for v in cured.verdicts if v.remedies == ["change-learning-rate"]]
    assert learning_rate_alone and all(v.verdict != "improves" for v in learning_rate_alone)


def test_predictions_stand_beside_verdicts(cured: Result) -> None:
    """The factor per layer that one batch showed, closer to 1 for the cure than for the untreated model."""
    assert cured.data is not None
    factor = cured.data["prescriptions"][cured.data["cure"]["prescription"]]["predicted"]["factor_per_layer"]
    assert abs(math.log(factor)) < 0.2 < abs(math.log(cured.report.prediction["factor_per_layer"]))
    assert cured.verdicts[0].predicted == f"x{factor:.2f} per layer"
    assert cured.data["cured_flow"]["total_log_gain"] > cured.data["check"]["flow"]["total_log_gain"] + 10
    scores = [tried["predicted"]["score"] for tried in cured.data["prescriptions"] if tried["predicted"]]
    assert scores == sorted(scores, reverse=True)


def test_what_cannot_be_applied_is_left_out_and_said_so(cured: Result) -> None:
    assert [(left.remedies, left.why) for left in cured.left_out] == [
        (["smaller-eps"], "cannot apply optimizer eps = 1e-12: SGD has no such setting")
    ]
    text = str(cured)
    assert "not tried: smaller-eps (eps = 1e-12): cannot apply optimizer eps" in text
    assert "error[vanishing-gradient]" in text and "untreated" in text and "3 of 3" in text and "\ncured: " in text
    assert all(line in text for line in cured.diff)


def test_every_way_of_showing_it(cured: Result, tmp_path: Path) -> None:
    assert json.loads(cured.render("json")) == cured.data
    assert cured.save(tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert "<details>" in cured._repr_html_() and "<iframe" in cured._repr_html_()
    assert cured.save(tmp_path / "a.md").read_text().startswith("#")
    assert cured.save(tmp_path / "a.py").read_text() == cured.code
    assert cured.save(tmp_path / "a.txt").read_text() == f"{cured}\n"
    assert cured.best is not None and repr(cured).startswith(
        f"<isogain.Result: cured by {' + '.join(cured.best.remedies)} ("
    )


def test_the_cured_model_is_the_trials(cured: Result) -> None:
    """`.build()`, and `.code` executed on the user's model, are what was trained."""
    random = torch.get_rng_state()
    model = cured.build()
    assert torch.equal(random, torch.get_rng_state())
    torch.manual_seed(0)
    inputs = next(read(blobs(), 32).batches(0))[0]
    names: dict[str, Any] = {"model": deep(), "inputs": inputs, "training_inputs": blobs()[0]}
    exec(cured.code, names)
    first, second = model.state_dict(), names["model"].state_dict()
    assert list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)
    assert cured.best is not None and len(cured.diff) < 10
    rate = cured.best.learning_rate
    assert cured.optimizer["learning_rate"] == rate and f"optimizer: learning rate becomes {rate:g}" in cured.diff
    assert f"# for group in optimizer.param_groups:\n#     group['lr'] = {rate!r}\n" in cured.code


def test_both_workers_are_used_and_the_numbers_are_those_of_one_process(monkeypatch: Any) -> None:
    reports = []
    for executor in (Processes(2), Serial(), Processes(3)):
        result = quick(monkeypatch, [standin.HE, standin.SLOWER], lambda: mlp(6, 16), executor=executor)
        assert result.data is not None
        reports.append({**result.data, "spent": {**result.data["spent"], "seconds": 0}})
        assert result.data["curves"]["before"]
        if isinstance(executor, Processes):
            assert (
                len(result.places) == executor.count and sum(result.places.values()) == result.data["spent"]["trials"]
            )
    assert reports[0] == reports[1] == reports[2]


def test_trials_depend_on_their_job_alone() -> None:
    """Dropout and the order of batches included, whatever ran before."""

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 4))

    trial = Trial(model, read(blobs(), 16), LOSS, torch.optim.Adam, 1e-3, None, [{}, {"init": "he-normal"}])
    job = Job(0, 1, 0.01, 5, 12)
    first = trial(job)
    torch.rand(7)
    other = trial(job._replace(seed=6))
    again = trial(job)
    assert first.losses == again.losses and first.loss == again.loss and first.loss != other.loss
    assert trial(job._replace(arm=0)).losses != first.losses


def test_the_order_of_the_data_follows_the_seed_and_is_the_same_for_every_arm() -> None:
    def always_the_same() -> nn.Module:
        torch.manual_seed(0)
        return shallow()

    arms: list[dict[str, Any]] = [{}, {"clip": {"kind": "value", "threshold": 1e9}}]
    trial = Trial(always_the_same, read(blobs(), 16), LOSS, torch.optim.SGD, 0.01, None, arms)
    first, other, clipped = (trial(Job(0, arm, 0.01, seed, 4)).losses for arm, seed in ((0, 5), (0, 6), (1, 5)))
    assert first != other and first == clipped


def test_learning_rate_settings_and_clipping_reach_the_optimizer() -> None:
    made = []

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        first, *rest = parameters
        made.append(torch.optim.Adam([{"params": [first]}, {"params": rest, "lr": 1e-4}], lr=1e-3))
        return made[-1]

    changes = {"optimizer": {"eps": 1e-3, "learning_rate": 7.0}, "clip": {"kind": "global-norm", "threshold": 1e-9}}
    trial = Trial(shallow, read(blobs(), 16), LOSS, optimizer, 1e-3, None, [{}, changes])
    outcome = trial(Job(0, 1, 0.05, 0, 3))
    assert outcome.failure is None
    rates = [(group["lr"], group["eps"]) for group in made[-1].param_groups]
    assert rates == [(0.05, 1e-3), (pytest.approx(0.005), 1e-3)]
    norm = sum(float(p.grad.square().sum()) for group in made[-1].param_groups for p in group["params"]) ** 0.5
    assert norm == pytest.approx(1e-9, rel=1e-3)


def test_judged_in_evaluation_mode_on_unchanged_data() -> None:
    inputs, targets = blobs()
    trial = Trial(
        shallow,
        read((100 + 50 * inputs, targets), 16),
        LOSS,
        torch.optim.SGD,
        0.01,
        None,
        [{}, {"input": "standardise"}],
    )
    model = trial.build(0, 1).model
    assert torch.allclose(model[0](100 + 50 * inputs).mean(0), torch.zeros(20), atol=1e-4)
    seen: list[bool] = []
    model.register_forward_hook(lambda module, args, output: seen.append(module.training))
    judge(model, trial.data.training(), LOSS, None)
    assert seen and not any(seen)


def test_a_trial_that_raises_or_diverges_is_a_failed_one(monkeypatch: Any) -> None:
    class Fragile(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            if any(isinstance(module, nn.Tanh) for module in self) and self.training:
                raise RuntimeError("no tanh here")
            return super().forward(x)

    bad = standin.prescription("swap-activation", "activation = tanh", {"activation": "tanh"})
    huge = standin.prescription("fixed-variance-init", "std = 1e30", {"init": "fixed-variance(std = 1e30)"})
    result = quick(monkeypatch, [bad, huge, standin.HE], lambda: Fragile(*mlp(3, 16)))
    assert result.failures == {"swap-activation (activation = tanh)": "RuntimeError: no tanh here"}
    assert result.diverged["fixed-variance-init (std = 1e30)"] > 0
    assert "ended early: swap-activation (activation = tanh): RuntimeError: no tanh here" in str(result)
    assert all(
        v.verdict != "improves" for v in result.verdicts if v.remedies in (["swap-activation"], ["fixed-variance-init"])
    )


def test_a_worker_that_dies_costs_one_trial() -> None:
    def dies() -> nn.Module:
        if torch.initial_seed() == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return shallow()

    trial = Trial(dies, read(blobs(), 16), LOSS, torch.optim.SGD, 0.01, None, [{}])
    with Processes(2).workers(trial) as workers:
        outcomes = []
        for seed in range(2, 6):
            workers.submit(Job(seed, 0, 0.01, seed, 2))
            if seed > 2:
                outcomes.append(workers.next())
        outcomes.append(workers.next())
    failed = {job.seed: outcome.failure for job, outcome in outcomes if outcome.failure}
    assert len(outcomes) == 4 and list(failed) == [3] and "status -9" in failed[3]


def test_spawned_processes_give_the_same_numbers() -> None:
    data, job = read(blobs(), 16), Job(0, 0, 0.01, 5, 3)
    trial = Trial(shallow, data, LOSS, torch.optim.SGD, 0.01, None, [{}])
    with Processes(1, start="spawn").workers(trial) as workers:
        workers.submit(job)
        assert workers.next()[1].losses == trial(job).losses
    local = Trial(lambda: shallow(), data, LOSS, torch.optim.SGD, 0.01, None, [{}])
    with Processes(1, start="spawn").workers(local) as workers, pytest.raises(TypeError, match="importable module"):
        workers.submit(job)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C from birth."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_gives_the_best_so_far(monkeypatch: Any) -> None:
    """The signal comes after the untreated model has whole trainings."""
    told: list[Job] = []

    class Interrupting(Serial):
        def __init__(self, after: int) -> None:
            self.after = after

        def workers(self, trial: Trial) -> Any:
            class Interrupted(Trial):
                def __call__(self, job: Job) -> Outcome:
                    if len(told) == self_after:
                        os.kill(os.getpid(), signal.SIGINT)
                        time.sleep(5)
                    told.append(job)
                    return super().__call__(job)

            self_after = self.after
            return super().workers(Interrupted(**trial.__dict__))

    stopped = quick(monkeypatch, [standin.HE], lambda: mlp(6, 16), executor=Interrupting(26))
    assert stopped.stopped == "interrupted" and stopped.data is not None and stopped.data["spent"]["trials"] == 26
    assert "stopped by hand: the best so far" in str(stopped)
    told.clear()
    nothing = quick(monkeypatch, [standin.HE], executor=Interrupting(2))
    assert nothing.stopped == "interrupted" and nothing.data is None and nothing.best is None
    assert "nothing can be compared" in str(nothing)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_processes(monkeypatch: Any) -> None:
    def slow() -> nn.Module:
        time.sleep(60)
        return shallow()

    with Processes(2).workers(Trial(slow, read(blobs(), 16), LOSS, torch.optim.SGD, 0.01, None, [{}])) as workers:
        workers.submit(Job(0, 0, 0.01, 0, 2))
        process = workers.running[0].process.pid
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            workers.next()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_nothing_is_tried_where_nothing_is_wrong() -> None:
    def healthy() -> nn.Module:
        return treat(mlp(3, 64), {"init": "he-normal"}, batch=blobs()).model

    result = cure(healthy, blobs(), LOSS, progress=False)
    assert result.report.ok, str(result.report)
    assert str(result).endswith("nothing to cure") and repr(result) == "<isogain.Result: nothing to cure>"
    assert (
        not result.verdicts
        and not result.improves
        and result.best is None
        and result.data is None
        and not result.places
    )
    assert isinstance(result.build(), nn.Sequential) and result.code == "" and result.diff == []


def test_a_run_keeps_every_trial(monkeypatch: Any, tmp_path: Path) -> None:
    result = quick(monkeypatch, [standin.HE], lambda: mlp(6, 16), run=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert result.data is not None and len(lines) == result.data["spent"]["trials"]
    assert sum(line["job"]["steps"] for line in lines) == result.data["spent"]["steps"]
    assert json.loads((tmp_path / "run" / "cure.json").read_text()) == result.data
    assert (tmp_path / "run" / "cure.html").exists()


@pytest.mark.parametrize("kind", ["tensors", "pair", "dataset", "datasets", "function", "mappings"])
def test_every_kind_of_data(monkeypatch: Any, kind: str) -> None:
    from torch.utils.data import TensorDataset

    def stream(seed: int) -> Any:
        inputs, targets = blobs(64, seed % 1000)
        for start in range(0, 64, 16):
            yield inputs[start : start + 16], targets[start : start + 16]

    pair = (blobs(), blobs(100, 3))
    data = {
        "tensors": blobs(),
        "pair": pair,
        "dataset": TensorDataset(*blobs(100)),
        "datasets": tuple(TensorDataset(*part) for part in pair),
        "function": stream,
        "mappings": [{"input": x, "wanted": y} for x, y in zip(*blobs(100), strict=True)],
    }[kind]

    class Named(nn.Sequential):
        def forward(self, input: Tensor, wanted: Tensor | None = None) -> Tensor:
            return super().forward(input)

    def loss(outputs: Any, targets: Any) -> Tensor:
        return LOSS(outputs, targets["wanted"] if kind == "mappings" else targets)

    def metric(outputs: Any, targets: Any) -> float:
        return accuracy(outputs, targets["wanted"] if kind == "mappings" else targets)

    standin.install(monkeypatch, [standin.HE])
    result = cure(
        lambda: Named(*shallow()),
        data,
        loss,
        steps=12,
        batch_size=16,
        progress=False,
        executor="serial",
        metric=metric if kind == "mappings" else None,
    )
    assert result.data is not None
    run = result.data["baseline"]["seeds"][0]
    assert run["loss"] is not None and run["train_accuracy"] is not None
    assert (run["test_loss"] is not None) == (kind in ("pair", "datasets"))


def test_a_loader_is_its_dataset_in_the_order_of_the_seed() -> None:
    items = [{"ids": torch.tensor([at, at + 1]), "labels": at % 3} for at in range(20)]
    collate = lambda samples: {"ids": torch.stack([s["ids"] for s in samples]), "labels": torch.tensor([s["labels"] for s in samples])}
    loader = torch.utils.data.DataLoader(items, batch_size=8, shuffle=True, collate_fn=collate)
    data = read((loader, loader), 64)
    one, again, other = (next(data.batches(seed))[0]["ids"] for seed in (1, 1, 2))
    assert len(one) == 8 and torch.equal(one, again) and not torch.equal(one, other)
    assert data.has_test and sum(len(batch[0]["ids"]) for batch in data.test()) == 20

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            return iter(items)

    with pytest.raises(TypeError, match="no seed decides"):
        read(torch.utils.data.DataLoader(Stream()), 64)


def test_regression_and_a_metric_of_ones_own(monkeypatch: Any) -> None:
    inputs, _ = blobs()
    targets = inputs[:, :4].sin()
    standin.install(monkeypatch, [standin.HE])
    plain = cure(shallow, (inputs, targets), nn.functional.mse_loss, steps=12, progress=False, executor="serial")
    assert plain.data is not None and plain.data["baseline"]["seeds"][0]["train_accuracy"] is None
    own = cure(
        shallow,
        (inputs, targets),
        nn.functional.mse_loss,
        steps=12,
        progress=False,
        executor="serial",
        metric=lambda outputs, wanted: 0.25,
    )
    assert own.data is not None and own.data["baseline"]["seeds"][0]["train_accuracy"] == 0.25


def test_scaled_targets_are_judged_in_the_units_of_the_data(monkeypatch: Any) -> None:
    inputs, _ = blobs()
    targets = 1e3 + 50 * inputs[:, :4]
    mse = nn.functional.mse_loss
    trial = Trial(
        shallow, read((inputs, targets), 32), mse, torch.optim.SGD, 0.05, None, [{}, {"target": "standardise"}]
    )
    outcome = trial(Job(0, 1, 0.05, 0, 40))
    variance = float(targets.var(0, correction=0).mean())
    assert outcome.losses[0] is not None and outcome.losses[0] < 5 and outcome.loss is not None
    assert 0.05 * variance < outcome.loss < variance
    result = cure(shallow, (inputs, targets), mse, steps=40, progress=False, executor="serial")
    assert result.best is not None and result.data is not None, str(result)


def test_the_untrained_loss_is_that_of_the_best_constant() -> None:
    inputs, targets = blobs()
    skewed = torch.where(targets == 3, 0, targets)
    model, batches = shallow(), [(inputs[:150], skewed[:150]), (inputs[150:], skewed[150:])]
    shares = skewed.bincount().double() / len(skewed)
    entropy = -float((shares * shares.log()).sum())
    assert untrained_loss(model, model(inputs), batches, LOSS) == pytest.approx(entropy, rel=1e-3)
    values = inputs[:, :4]
    squared = untrained_loss(model, model(inputs), [(inputs, values)], nn.functional.mse_loss)
    assert squared == pytest.approx(float(values.var(0, correction=0).mean()), rel=1e-4)
    before = float(LOSS(model(inputs), skewed).detach())
    bare = untrained_loss(
        model, model(inputs), [(inputs, skewed)], lambda o, t: nn.functional.nll_loss(o.log_softmax(1), t)
    )
    assert bare == pytest.approx(entropy, rel=1e-3) and bare < before
    with pytest.raises(ValueError, match="above 0"):
        untrained_loss(model, model(inputs), [(inputs, skewed)], lambda outputs, t: -outputs.square().mean() - 1)


def test_batches_are_a_function_of_the_seed() -> None:
    source = read(blobs(), 30)
    first, second, other = (source.batches(seed) for seed in (1, 1, 2))
    rows = [next(first)[0] for _ in range(30)]
    assert all(torch.equal(row, next(second)[0]) for row in rows) and not torch.equal(rows[0], next(other)[0])
    assert all(len(row) == 30 for row in rows)
    epoch = torch.cat(rows[:13])
    assert len(epoch.unique(dim=0)) == 390


def test_what_cannot_be_used_is_said_so(monkeypatch: Any) -> None:
    with pytest.raises(TypeError, match=r"needs \(inputs, targets\)"):
        cure(shallow, 3, LOSS)
    with pytest.raises(ValueError, match="known: processes, serial, ray"):
        quick(monkeypatch, [standin.HE], executor="thread")
    with pytest.raises(ValueError, match="the budget is 10"):
        quick(monkeypatch, [standin.HE], budget=10)
    for name, value in {"steps": 0, "seeds": -1, "batch_size": 0, "budget": 0}.items():
        with pytest.raises(ValueError, match=f"{name} is {value}; it must be at least 1"):
            cure(shallow, blobs(), LOSS, **{name: value})
        with pytest.raises(TypeError, match=f"{name} is 1.5; it must be an int"):
            cure(shallow, blobs(), LOSS, **{name: 1.5})
    with pytest.raises(TypeError, match=r"build_model is a model: .* `lambda: copy.deepcopy\(model\)`"):
        cure(shallow(), blobs(), LOSS)
    with pytest.raises(TypeError, match="build_model must give a torch.nn.Module; it gives a NoneType"):
        cure(lambda: None, blobs(), LOSS)
    with pytest.raises(TypeError, match="optimizer is 'adam': needs what makes one from parameters, such as torch.optim.Adam"):
        cure(shallow, blobs(), LOSS, optimizer="adam")
    with pytest.raises(ValueError, match="400 inputs and 3 targets"):
        cure(shallow, (blobs()[0], torch.zeros(3)), LOSS)


def test_models_that_share_weights_are_refused_before_they_are_changed(monkeypatch: Any) -> None:
    model, layer = shallow(), nn.Linear(20, 20)
    weights = [tensor.clone() for tensor in model.state_dict().values()]
    with pytest.raises(ValueError, match=r"build_model gives the same model twice: .* `lambda: copy.deepcopy\(model\)`"):
        quick(monkeypatch, [standin.HE, standin.SKIP], lambda: model)
    assert all(map(torch.equal, weights, model.state_dict().values())) and len(model) == 5
    with pytest.raises(ValueError, match=r"models that share 0\.weight \(2 tensors are in both\)"):
        quick(monkeypatch, [standin.HE], lambda: nn.Sequential(layer, *shallow()))
    assert quick(monkeypatch, [standin.HE], lambda: copy.deepcopy(model), executor="serial").data is not None


def test_the_executor_follows_what_is_possible(monkeypatch: Any) -> None:
    """Processes for the CPU; where a GPU forbids forking, only for what a fresh process can import."""
    importable = Trial(shallow, read(blobs(), 16), LOSS, torch.optim.SGD, 0.01, None, [{}])
    local = dataclasses.replace(importable, build_model=lambda: shallow())
    assert isinstance(executors.named(None, local, True), Processes)
    assert isinstance(executors.named(None, importable, False), Serial)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert isinstance(executors.named(None, local, True), Serial)
    chosen = executors.named(None, importable, True)
    assert isinstance(chosen, Processes) and chosen.context.get_start_method() == "spawn"


def test_a_budget_leaves_arms_out(monkeypatch: Any) -> None:
    full = quick(monkeypatch, [standin.HE, standin.GLOROT, standin.SKIP, standin.BATCH_NORM], executor="serial")
    tight = quick(
        monkeypatch, [standin.HE, standin.GLOROT, standin.SKIP, standin.BATCH_NORM], executor="serial", budget=600
    )
    assert tight.data is not None and full.data is not None
    assert tight.data["spent"]["steps"] <= 600 < full.data["spent"]["steps"]
    assert tight.data["prescriptions"][-1]["steps"] == 0


def test_seeds_of_the_trial_seed_the_model() -> None:
    source = read(blobs(), 16)
    first, again, other = (build(shallow, {}, source, seed).model.state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(first[key], again[key]) for key in first) and not torch.equal(
        first["0.weight"], other["0.weight"]
    )


def test_the_package_offers_it_by_name() -> None:
    """And its modules, however they are imported, leave the names functions."""
    import isogain

    assert isogain.cure is cure and isogain.treat is treat and isogain.Result is Result
    for name in ("CannotApply", "Result", "Treatment", "check", "cure", "treat"):
        assert name in isogain.__all__ and not isinstance(getattr(isogain, name), ModuleType)
