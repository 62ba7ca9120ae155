"""A cure's result as text: the core's own page where there is a document, else the same table."""

from __future__ import annotations

from isogain import _core
from isogain.result import Result, Verdict, named

_HEADINGS = ["remedy", "parameters", "predicted", "learning rate", "loss", "accuracy", "verdict", "seeds"]
_MISSING = "-"
_PARAMETERS_WIDTH = 44
_MOST_FAILURES = 6


def text(result: Result) -> str:
    """What is wrong, what was tried, what helps, and what it changes."""
    if result.trial is None:
        if result.interrupted:
            return "stopped before the untreated model was trained once: nothing can be compared"
        return "nothing to cure: the check finds nothing wrong before training"
    lines = []
    if result.document is not None:
        lines.append(_core.render_cure(result.document, "text").rstrip())
    else:
        lines += [f"{f.get('level')}[{f.get('rule')}]: {f.get('message')}" for f in result.findings]
        lines += ["", "remedies tried", *_aligned(_rows(result)), "", _outcome(result)]
    if result.interrupted:
        lines.append("stopped before the search was over: the verdicts are of what was done by then")
    lines += [f"   not tried: {named(left.remedies, left.parameters)}: {left.why}" for left in result.left_out]
    failures = list(result.failures.items())
    lines += [f"   ended early: {name}: {why}" for name, why in failures[:_MOST_FAILURES]]
    if len(failures) > _MOST_FAILURES:
        lines.append(f"   ended early: {len(failures) - _MOST_FAILURES} more, see .failures")
    if result.best is not None:
        rate = result.optimizer["learning_rate"]
        lines += ["", "the cure", *(f"   {line}" for line in result.diff), f"   optimizer: learning rate {rate:g}"]
        lines.append("   .build() builds the cured model, .code does the same in plain PyTorch")
    return "\n".join(lines)


def _rows(result: Result) -> list[list[str]]:
    assert result.trial is not None
    baseline = result.trial["baseline"]
    untreated = _median_of(baseline["seeds"], "loss")
    share = _median_of(baseline["seeds"], "train_accuracy")
    rows = [_HEADINGS, ["untreated", "its own best rate", _MISSING, f"{baseline['learning_rate']:g}", untreated, share]]
    rows[1] += [_MISSING, str(len(baseline["seeds"]))]
    return [*rows, *(_row(verdict, untreated) for verdict in result.verdicts)]


def _row(verdict: Verdict, untreated: str) -> list[str]:
    parameters = verdict.parameters
    if len(parameters) > _PARAMETERS_WIDTH:
        parameters = parameters[: _PARAMETERS_WIDTH - 1] + "…"
    return [
        " + ".join(verdict.remedies),
        parameters,
        verdict.predicted or _MISSING,
        f"{verdict.learning_rate:g}",
        f"{untreated} → {_number(verdict.loss)}",
        _number(verdict.accuracy, 2),
        verdict.verdict.replace("-", " "),
        f"{verdict.won} of {verdict.seeds}",
    ]


def _outcome(result: Result) -> str:
    assert result.trial is not None
    spent = result.trial["spent"]
    cost = f"   {spent['trials']} trainings, {spent['steps']} steps, {spent['seconds']:.0f} s"
    if result.best is None:
        return f"not cured: no remedy that was tried improves on the untreated model\n{cost}"
    first = result.verdicts[0]
    change = f"loss {_median_of(result.trial['baseline']['seeds'], 'loss')} → {_number(first.loss)}"
    return f"cured: {named(first.remedies, first.parameters)}: {change}, better on {first.won} of {first.seeds} seeds\n{cost}"


def _median_of(runs: list[dict[str, float | None]], what: str) -> str:
    values = sorted(float("inf") if run[what] is None else float(run[what] or 0.0) for run in runs)
    middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return _number(middle if middle < float("inf") else None, 3 if what == "loss" else 2)


def _number(value: float | None, digits: int = 3) -> str:
    return _MISSING if value is None else f"{value:.{digits}f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
