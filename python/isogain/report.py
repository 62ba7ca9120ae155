"""What a check found, as text, data and a page."""

from __future__ import annotations

import functools
import html
import json
import os
import sys
from pathlib import Path
from typing import Any

from isogain import _core
from isogain.remarks import Remark


class Report:
    """The diagnosis of a model. `print` it, or read its parts; everything is plain data.

    The text, the JSON and the page are those of the command line's `isogain check`.
    """

    def __init__(self, checked: _core.Checked) -> None:
        self._checked = checked

    @functools.cached_property
    def data(self) -> dict[str, Any]:
        """The whole report: `{schema, recipe, seed, findings, remarks, flow, differential, limits}`, without
        `remarks` where there are none."""
        return dict(json.loads(self._checked.json()))

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What is wrong, the worst first: `{rule, level, layers, step, message, evidence, causes, theory, remedies,
        consequences}`; level is `error`, `warning` or `note`."""
        return list(self.data["findings"])

    @functools.cached_property
    def remarks(self) -> list[Remark]:
        """Parameters that no gradient reaches, and what is in evaluation mode: `level` (`warning` or `note`) and `message` of each."""
        return [Remark(**remark) for remark in self.data.get("remarks", [])]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The findings that say that training will fail."""
        return [finding for finding in self.findings if finding["level"] == "error"]

    @property
    def ok(self) -> bool:
        """Whether there is neither error nor warning, remarks included."""
        return all(level == "note" for level in self._levels)

    @property
    def is_ill(self) -> bool:
        """Whether a finding is an error or a warning, which is what remedies are for: a graph that is cut they do not mend."""
        return any(finding["level"] != "note" for finding in self.findings)

    @property
    def _levels(self) -> list[str]:
        return [*(finding["level"] for finding in self.findings), *(remark.level for remark in self.remarks)]

    @property
    def flow(self) -> dict[str, Any]:
        """The chain rule taken apart: `{total_log_gain, joints, head, weights, counterfactual, jacobian}`, gains in nepers
        (ln of a ratio); with skips also `path_lengths`."""
        return dict(self.data["flow"])

    @property
    def differential(self) -> list[dict[str, Any]]:
        """Which of five kinds of illness the gradient has: `{kind, verdict, evidence, left_out, remedies}` of each."""
        return list(self.data.get("differential", []))

    @property
    def limits(self) -> dict[str, Any]:
        """How deep such a network can be trained, by theory: `{trainable_depth, binding, ceilings}`."""
        return dict(self.data["limits"])

    @functools.cached_property
    def prescriptions(self) -> list[dict[str, Any]]:
        """What to try, most promising first: `{remedies, parameters, changes, recipe}`."""
        return list(json.loads(self._checked.prescriptions()))

    @functools.cached_property
    def prediction(self) -> dict[str, Any]:
        """What this one batch says of how the model will train."""
        return dict(json.loads(self._checked.prediction()))

    @functools.cached_property
    def snapshot(self) -> dict[str, Any]:
        """Statistics of every unit, parameter and joint on the batch."""
        return dict(json.loads(self._checked.snapshot()))

    def render(self, format: str = "text", *, colour: bool = False) -> str:
        """The report as `text`, `json`, `github`, `sarif` or `markdown`."""
        return self._checked.render(format, colour=colour)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report: `.html` a page that opens offline, `.json`, `.sarif`, `.md`, anything else text."""
        path = Path(path)
        formats = {".json": "json", ".sarif": "sarif", ".md": "markdown"}
        text = self._checked.html() if path.suffix == ".html" else self.render(formats.get(path.suffix, "text"))
        path.write_text(text, encoding="utf-8")
        return path

    def __str__(self) -> str:
        return self.render(colour=sys.stdout.isatty()).rstrip("\n")

    def __repr__(self) -> str:
        counts = {level: self._levels.count(level) for level in ("error", "warning", "note")}
        found = ", ".join(f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count)
        return f"<isogain.Report of {self.data['recipe']['data']['source']}: {found or 'nothing wrong'}>"

    def _repr_html_(self) -> str:
        return framed(self._checked.html())


def framed(page: str) -> str:
    """A page for a notebook.

    Characters by their numbers: in a notebook saved under another encoding, or under none that its page names, the page's
    script would no longer be the one whose hash its policy has, and would not run.
    """
    source = html.escape(page, quote=True).encode("ascii", "xmlcharrefreplace").decode("ascii")
    return f'<iframe srcdoc="{source}" style="width:100%;height:640px;border:0" sandbox="allow-scripts"></iframe>'
