"""The README's calls are run, and print what it says they print, numbers apart: those may differ between machines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def shape(text: str) -> list[str]:
    """The words in order, numbers, bars and the breaks of lines left out."""
    return re.sub(r"[\d.,:^+█▏▎▍▌▋▊▉-]+|\be\b", " ", text).split()


def test_the_calls_print_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    model, check, watch, cure = blocks("python")
    checked, watched, cured = blocks("text")
    scope: dict[str, object] = {}
    exec(model, scope)
    exec(check, scope)
    assert shape(capsys.readouterr().out) == shape(checked)
    exec(watch, scope)
    assert shape(capsys.readouterr().out) == shape(watched)
    # The search takes longer than a test should; a short one has the same parts.
    exec(cure.replace("steps=300", "steps=20, seeds=1, progress=False"), scope)
    printed = capsys.readouterr().out
    assert "remedies tried" in printed and " trainings, " in printed
    assert cured.startswith("cured: add-skip")
