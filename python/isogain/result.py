"""What a cure came to: verdicts, the cured model, and how to show them."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from isogain import _core
from isogain.treat import Clip, Treatment
from isogain.trials import Trial

if TYPE_CHECKING:
    from isogain.cure import Searched


@dataclass(frozen=True)
class LeftOut:
    """A prescription that this model cannot take."""

    remedies: list[str]
    parameters: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """A prescription that was trained to the end, against the untreated model at its own best learning rate."""

    remedies: list[str]
    parameters: str
    predicted: str | None
    """What one batch said before."""
    learning_rate: float
    """Its best."""
    loss: float | None
    """Median over seeds; `None` when most diverged."""
    accuracy: float | None
    """Median over seeds of the metric on the training part."""
    verdict: str
    """`improves`, `no-effect`, `harms` or `inconclusive`."""
    won: int
    """Seeds on which its loss is smaller than the untreated model's."""
    seeds: int
    effect: dict[str, Any] | None
    failure: str | None = None
    """Why its last failed training ended early."""


@dataclass(frozen=True)
class Best:
    """The prescription to take."""

    prescription: int
    remedies: list[str]
    parameters: str
    learning_rate: float
    effect: dict[str, Any]
    """`median_loss_ratio`, `accuracy_gain`, `superiority`, `p_value`, `seeds`."""
    seeds: list[dict[str, Any]]
    """Seed and scores of each training."""
    against_random_search: dict[str, Any] | None


@dataclass
class Result:
    """What `isogain.cure` found out."""

    findings: list[dict[str, Any]]
    """What is wrong with the untreated model."""
    trial: dict[str, Any] | None
    """The whole report of the trials; `None` when there were none."""
    verdicts: list[Verdict]
    """What was trained to the end: the cure first, then by verdict and loss."""
    best: Best | None
    """`None` when nothing improves."""
    left_out: list[LeftOut]
    """What this model cannot take, and why."""
    diff: list[str]
    """What the cure changes, a line each."""
    code: str
    """The cure in plain PyTorch."""
    optimizer: dict[str, float]
    """Settings of the optimizer that belong to the cure, its learning rate among them."""
    clip: Clip | None = None
    interrupted: bool = False
    """Stopped by Ctrl-C: verdicts are of what was done by then."""
    places: dict[str, int] = field(default_factory=dict)
    """How many trials ran where."""
    failures: dict[str, str] = field(default_factory=dict)
    """By prescription, why a training of it ended early."""
    document: str | None = field(default=None, repr=False)
    """The report as JSON, in the form of `isogain cure --format json`; `None` where the model cannot be written as a recipe."""
    _trial: Trial | None = field(default=None, repr=False)

    @property
    def improves(self) -> list[Verdict]:
        """The verdicts that say so, the cure first; empty when nothing helps."""
        return [verdict for verdict in self.verdicts if verdict.verdict == "improves"]

    def build(self, seed: int = 0) -> nn.Module:
        """A fresh cured model, as in the trial with this seed; the untreated one where nothing is to be changed. The
        caller's random state is left as it was."""
        assert self._trial is not None
        with torch.random.fork_rng():
            return self._trial.build(seed, 0 if self.best is None else self.best.prescription + 1).model

    @classmethod
    def healthy(cls, report: Any, trial: Trial) -> Result:
        """Nothing to cure."""
        return cls(list(report.findings), None, [], None, [], [], "", {}, _trial=trial)

    @classmethod
    def of(
        cls, searched: Searched, report: Any, trial: Trial, prescriptions: list[dict[str, Any]], left_out: list[LeftOut]
    ) -> Result:
        """From what a search came to."""
        found = searched.trial
        names = ["untreated", *(named(p["remedies"], p["parameters"]) for p in prescriptions)]
        failures = {names[arm]: why for arm, why in sorted(searched.failures.items())}
        result = cls(list(report.findings), found, [], None, left_out, [], "", {}, _trial=trial, failures=failures)
        result.interrupted, result.places = searched.interrupted, dict(sorted(searched.places.items()))
        if found is None:
            return result
        result.verdicts = _verdicts(found, prescriptions, searched)
        cure = found["cure"]
        if cure is not None:
            index = cure["prescription"]
            tried = found["prescriptions"][index]
            against = cure["against_random_search"]
            result.best = Best(
                index, tried["remedies"], tried["parameters"], tried["learning_rate"], tried["effect"], tried["seeds"], against
            )
            with torch.random.fork_rng():
                treatment: Treatment = trial.build(0, index + 1)
            result.diff, result.code, result.clip = treatment.diff, treatment.code, treatment.clip
            result.optimizer = {**treatment.optimizer, "learning_rate": tried["learning_rate"]}
        result.document = _document(found, report, prescriptions, searched)
        return result

    def __str__(self) -> str:
        from isogain.result_text import text

        return text(self)

    def _repr_html_(self) -> str:
        details = ""
        if self.code:
            details = f"<details><summary>the cure in plain PyTorch</summary><pre>{html.escape(self.code)}</pre></details>"
        return f"<pre>{html.escape(str(self))}</pre>{details}"

    def save(self, folder: Path) -> None:
        """Writes `cure.json`, and the cure as `cured.py` where there is one."""
        document = self.document or json.dumps({"findings": self.findings, "trial": self.trial})
        (folder / "cure.json").write_text(document + "\n", encoding="utf-8")
        if self.code:
            (folder / "cured.py").write_text(self.code, encoding="utf-8")


def named(remedies: list[str], parameters: str) -> str:
    """`rescale-init (init = he-normal)`."""
    names = " + ".join(remedies)
    return f"{names} ({parameters})" if parameters else names


def _verdicts(found: dict[str, Any], prescriptions: list[dict[str, Any]], searched: Searched) -> list[Verdict]:
    untreated = {run["seed"]: _loss(run) for run in found["baseline"]["seeds"]}
    cure = None if found["cure"] is None else found["cure"]["prescription"]
    rank = ["improves", "inconclusive", "no-effect", "harms"]
    rows = []
    for index, (tried, prescription) in enumerate(zip(found["prescriptions"], prescriptions)):
        if tried["steps"] < searched.steps or not tried["seeds"]:
            continue
        won = sum(_loss(run) < untreated.get(run["seed"], float("-inf")) for run in tried["seeds"])
        losses = _median([_loss(run) for run in tried["seeds"]])
        accuracies = [run["train_accuracy"] for run in tried["seeds"] if run["train_accuracy"] is not None]
        verdict = Verdict(
            tried["remedies"],
            tried["parameters"],
            prescription.get("predicted"),
            tried["learning_rate"],
            losses if losses < float("inf") else None,
            _median(accuracies) if accuracies else None,
            tried["verdict"],
            won,
            len(tried["seeds"]),
            tried["effect"],
            searched.failures.get(index + 1),
        )
        rows.append(((index != cure, rank.index(tried["verdict"]), losses, index), verdict))
    return [verdict for _, verdict in sorted(rows, key=lambda row: row[0])]


def _loss(run: dict[str, Any]) -> float:
    return float("inf") if run["loss"] is None else float(run["loss"])


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else (low + high) / 2


def _document(
    found: dict[str, Any], report: Any, prescriptions: list[dict[str, Any]], searched: Searched
) -> str | None:
    """The core's document, where the check has one of its own and the cure a recipe."""
    check = getattr(report, "document", None)
    cure = found["cure"]
    if check is None or (cure is not None and "recipe" not in cure):
        return None

    def curves(arm: int, rate: float) -> list[tuple[int, list[float | None]]]:
        whole = [(key[2], o.losses) for key, o in searched.outcomes.items() if key[:2] == (arm, rate)]
        return sorted((seed, losses) for seed, losses in whole if len(losses) == searched.steps)

    before = curves(0, found["baseline"]["learning_rate"])
    after = [] if cure is None else curves(
        cure["prescription"] + 1, found["prescriptions"][cure["prescription"]]["learning_rate"]
    )
    return _core.cure_document(check, json.dumps(found), json.dumps({"before": before, "after": after}))
