"""What is wrong with a training, as Python sees it, and what happens when something is found."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Union

__all__ = ["Finding", "FindingError", "FindingWarning", "OnFinding", "announce"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, with the evidence. `str()` of it is the whole message."""

    rule: str
    #: `error` (training fails), `warning` (it suffers) or `note`.
    level: str
    #: First and last operation concerned.
    layers: tuple[str, str]
    #: Optimizer updates done before it was seen.
    step: int
    message: str
    #: `{"name": ..., "value": ..., "threshold": ..., "source": ...}`
    evidence: tuple[dict[str, Any], ...]
    #: Names of remedies, the first to try first.
    remedies: tuple[str, ...]
    #: What follows from it.
    consequences: tuple[Finding, ...] = ()
    text: str = field(default="", repr=False, compare=False)

    @classmethod
    def parse(cls, document: str, text: str = "") -> Finding:
        """From the JSON of a record's line."""
        return cls._of(json.loads(document), text)

    @classmethod
    def _of(cls, found: dict[str, Any], text: str = "") -> Finding:
        first, last = found["layers"]
        return cls(
            rule=found["rule"],
            level=found["level"],
            layers=(first, last),
            step=found["step"],
            message=found["message"],
            evidence=tuple(found["evidence"]),
            remedies=tuple(found["remedies"]),
            consequences=tuple(cls._of(consequence) for consequence in found.get("consequences", ())),
            text=text,
        )

    def __str__(self) -> str:
        return self.text or f"step {self.step}: {self.level}[{self.rule}]: {self.message}"


class FindingWarning(UserWarning):
    """A finding, as a warning."""


class FindingError(RuntimeError):
    """A finding of level `error`, raised where `on_finding="raise"`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


OnFinding = Union[Literal["warn", "raise"], Callable[[Finding], object]]


def check_on_finding(on_finding: OnFinding) -> None:
    """Says what would be right where `on_finding` is neither of the words nor callable."""
    if on_finding not in ("warn", "raise") and not callable(on_finding):
        raise ValueError(f'on_finding is {on_finding!r}; it must be "warn", "raise" or a function of one finding')


def announce(finding: Finding, on_finding: OnFinding) -> None:
    """Warns of a finding, raises it, or hands it to the user's function."""
    if callable(on_finding):
        on_finding(finding)
    elif on_finding == "raise" and finding.level == "error":
        raise FindingError(finding)
    else:
        warnings.warn(FindingWarning(str(finding)), stacklevel=2)
