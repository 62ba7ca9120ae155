"""What a cure came to: verdicts, the cured model, and how to show them."""

from __future__ import annotations

import html
import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from isogain import _core
from isogain.budget import Stopped
from isogain.diagnose import examined
from isogain.report import Report, framed
from isogain.search import Search
from isogain.surgery import Treatment
from isogain.surgery.randomness import kept_random
from isogain.trials import Trial, build, device_of, moved

_MOST_LINES = 6


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
    effect: dict[str, Any]
    """`median_loss_ratio`, `accuracy_gain`, `superiority`, `p_value`, `seeds`."""


@dataclass(frozen=True)
class Best:
    """The prescription to take."""

    remedies: list[str]
    parameters: str
    learning_rate: float
    effect: dict[str, Any]
    """Against the untreated model at its own best learning rate, as in `Verdict`."""
    seeds: list[dict[str, Any]]
    """Seed and scores of each training."""
    against_random_search: dict[str, Any] | None
    """The same effect against what random search found at the same cost."""


class Result:
    """What `isogain.cure` found out. `print` it, or read its parts."""

    def __init__(self, report: Report, trial: Trial, left_out: list[LeftOut] | None = None) -> None:
        self.report = report
        """The check of the untreated model."""
        self.left_out = left_out or []
        """What this model cannot take, and why."""
        self.failures: dict[str, str] = {}
        """By prescription, the error that ended a training of it."""
        self.diverged: dict[str, int] = {}
        """By prescription, how many of its trainings diverged: some do at the largest learning rates of every
        search."""
        self.places: dict[str, int] = {}
        """How many trials ran where."""
        self.stopped: Stopped | None = None
        """What ended the search before it was through, `interrupted` (Ctrl-C) or `budget`: verdicts are of what was done by then."""
        self.best: Best | None = None
        """`None` when nothing improves."""
        self._predicted: list[str | None] = []
        self._trial, self._arm = trial, 0
        self._cured: _core.Cured | None = None

    @classmethod
    def of(
        cls, search: Search, seconds: float, report: Report, trial: Trial, left_out: list[LeftOut], stopped: Stopped | None
    ) -> Result:
        """From a search that ended or was stopped."""
        result = cls(report, trial, left_out)
        result.stopped, result.places = stopped, dict(sorted(search.places.items()))
        names = ["untreated", *(each.name for each in search.prescribed)]
        result.failures = {names[arm]: why for arm, why in sorted(search.failures.items())}
        result.diverged = {names[arm]: count for arm, count in sorted(search.diverged.items())}
        result._predicted = [each.prediction["headline"] if each.prediction else None for each in search.prescribed]
        document = search.report(seconds, stopped)
        if document is None:
            return result
        found = json.loads(document)
        cure, after, flow = found["cure"], [], None
        before = found["baseline"]["learning_rate"]
        if cure is not None:
            tried = found["prescriptions"][cure["prescription"]]
            rate = tried["learning_rate"]
            before = tried.get("against_learning_rate", before)
            against = cure["against_random_search"]
            result.best = Best(tried["remedies"], tried["parameters"], rate, tried["effect"], tried["seeds"], against)
            result._arm = cure["prescription"] + 1
            after, flow = search.curves(result._arm, rate), json.dumps(result._flow())
        curves = {"before": search.curves(0, before), "after": after}
        result._cured = _core.Cured(json.dumps(report.data), document, json.dumps(curves), flow)
        return result

    @cached_property
    def data(self) -> dict[str, Any] | None:
        """The whole report, as `isogain cure --format json` prints it: `{check, baseline, random_search,
        prescriptions, cure, spent, curves, ...}`; `None` where nothing was tried to the end."""
        return None if self._cured is None else dict(json.loads(self._cured.render("json")))

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What was trained to the end: the cure first, then by verdict and loss."""
        if self.data is None:
            return []
        baseline = self.data["baseline"]
        runs = {rate["learning_rate"]: rate["seeds"] for rate in baseline["learning_rates"]}
        steps = self.data["recipe"]["run"]["steps"]
        rank = ["improves", "inconclusive", "no-effect", "harms"]
        rows = []
        for index, tried in enumerate(self.data["prescriptions"]):
            if tried["steps"] == steps and tried["seeds"]:
                untreated = runs[tried.get("against_learning_rate", baseline["learning_rate"])]
                verdict = _verdict(tried, self._predicted[index], {run["seed"]: _loss(run) for run in untreated})
                loss = float("inf") if verdict.loss is None else verdict.loss
                rows.append(((index + 1 != self._arm, rank.index(verdict.verdict), loss, index), verdict))
        return [verdict for _, verdict in sorted(rows, key=lambda row: row[0])]

    @property
    def improves(self) -> list[Verdict]:
        """The verdicts that say so, the cure first; empty when nothing helps."""
        return [verdict for verdict in self.verdicts if verdict.verdict == "improves"]

    def build(self, seed: int = 0) -> nn.Module:
        """A fresh cured model, drawn as in the trial with this seed; the untreated one where nothing improves. The
        caller's random state is left as it was."""
        return self._treatment(seed).model

    @cached_property
    def diff(self) -> list[str]:
        """What the cure changes, a line each."""
        return self._treatment(0).diff

    @cached_property
    def code(self) -> str:
        """The cure in plain PyTorch, with what to change around the training as comments; empty where nothing improves."""
        return self._treatment(0).code

    @cached_property
    def optimizer(self) -> dict[str, float]:
        """Settings of the optimizer that belong to the cure, its learning rate among them."""
        return self._treatment(0).optimizer

    def _treatment(self, seed: int) -> Treatment:
        """What the best trial trained, its learning rate among the changes."""
        changes = self._trial.arms[self._arm]
        if self.best is not None:
            optimizer = {**(changes.get("optimizer") or {}), "learning_rate": self.best.learning_rate}
            changes = {**changes, "optimizer": optimizer}
        with kept_random():
            return build(self._trial.build_model, changes, self._trial.data, seed)

    def _flow(self) -> dict[str, Any]:
        treated = self._treatment(0)
        with kept_random():
            inputs, targets = moved(next(self._trial.data.batches(0)), device_of(treated.model))
            batch = (inputs, targets if treated.target is None else treated.target.scaled(targets))
            return examined(treated.model, batch, self._trial.loss_fn).flow

    def render(self, format: str = "text", *, colour: bool = False) -> str:
        """The report as `text`, `json`, `github`, `sarif` or `markdown`."""
        if self._cured is None:
            return self.report.render(format, colour=colour)
        return self._cured.render(format, colour=colour)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report: `.html` a page that opens offline, `.json`, `.sarif`, `.md`; `.py` is the cure in plain
        PyTorch, anything else text."""
        path = Path(path)
        formats = {".json": "json", ".sarif": "sarif", ".md": "markdown"}
        if self._cured is None and path.suffix == ".html":
            return self.report.save(path)
        if path.suffix == ".py":
            text = self.code
        elif path.suffix == ".html" and self._cured is not None:
            text = self._cured.html()
        else:
            text = self.render(formats[path.suffix]) if path.suffix in formats else f"{self._text(colour=False)}\n"
        path.write_text(text, encoding="utf-8")
        return path

    def keep(self, folder: Path) -> None:
        """Writes what a folder of a run has: the report as page and data, and the cure as source."""
        for name in ("cure.json", "cure.html", *(["cured.py"] if self.best else [])):
            self.save(folder / name)

    def __str__(self) -> str:
        return self._text(colour=sys.stdout.isatty())

    def _text(self, *, colour: bool) -> str:
        if self._cured is None and self.stopped is None:
            return "\n".join([self.report.render(colour=colour).rstrip("\n"), "nothing to cure"])
        lines = [self.render(colour=colour).rstrip("\n")]
        if self._cured is None:
            lines.append("stopped before the untreated model was trained once: nothing can be compared")
        lines += _few(
            [f"not tried: {' + '.join(left.remedies)} ({left.parameters}): {left.why}" for left in self.left_out]
        )
        lines += _few([f"ended early: {name}: {why}" for name, why in self.failures.items()])
        if self.best is not None:
            lines += ["", "what the cure changes", *(f"   {line}" for line in self.diff)]
            lines += ["   .build() gives the cured model, .code does the same in plain PyTorch"]
        return "\n".join(lines)

    def _left_out_by_reason(self) -> dict[str, list[str]]:
        reasons: dict[str, list[str]] = {}
        for left in self.left_out:
            reasons.setdefault(left.why, []).append(f"{' + '.join(left.remedies)} ({left.parameters})")
        return reasons

    def __repr__(self) -> str:
        if self.best is None:
            return f"<isogain.Result: {'not cured' if self.report.is_ill else 'nothing to cure'}>"
        return f"<isogain.Result: cured by {' + '.join(self.best.remedies)} ({self.best.parameters})>"

    def _repr_html_(self) -> str:
        if self._cured is None:
            return str(self.report._repr_html_())
        frame = framed(self._cured.html())
        if self.best is None:
            return frame
        changes = html.escape("\n".join(self.diff))
        code = f"<details><summary>the cure in plain PyTorch</summary><pre>{html.escape(self.code)}</pre></details>"
        return f"{frame}<pre>{changes}</pre>{code}"


def _few(lines: list[str]) -> list[str]:
    rest = [f"{len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return [f"   {line}" for line in [*lines[:_MOST_LINES], *rest]]


def _verdict(tried: dict[str, Any], predicted: str | None, untreated: dict[int, float]) -> Verdict:
    loss = _median([_loss(run) for run in tried["seeds"]])
    accuracies = [run["train_accuracy"] for run in tried["seeds"] if run["train_accuracy"] is not None]
    return Verdict(
        tried["remedies"],
        tried["parameters"],
        predicted,
        tried["learning_rate"],
        loss if loss < float("inf") else None,
        _median(accuracies) if accuracies else None,
        tried["verdict"],
        sum(_loss(run) < untreated.get(run["seed"], float("-inf")) for run in tried["seeds"]),
        len(tried["seeds"]),
        tried["effect"],
    )


def _loss(run: dict[str, Any]) -> float:
    return float("inf") if run["loss"] is None else float(run["loss"])


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else (low + high) / 2
