"""A report in a notebook: what a cell shows, in a real browser."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

import isogain

# Widths of a notebook's cell: a narrow window, and a usual one.
WIDTHS = (560, 900)


@pytest.fixture(scope="module")
def cell() -> str:
    """What a notebook puts into its page for the last expression of a cell."""
    torch.manual_seed(0)
    hidden = [module for _ in range(12) for module in (nn.Linear(16, 16), nn.ReLU())]
    model = nn.Sequential(*hidden, nn.Linear(16, 4))
    batch = torch.randn(32, 16), torch.randint(0, 4, (32,))
    return isogain.check(model, batch, nn.functional.cross_entropy)._repr_html_()


def page_of(cell: str) -> str:
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*" sandbox="allow-scripts"></iframe>', cell)
    assert found, cell[:200]
    return html.unescape(found[1])


def browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        assert os.environ.get("CI") != "true", "chromium not found"
        pytest.skip("chromium not found")
    return found


def opened(folder: Path, name: str, page: str, width: int = 900) -> tuple[str, list[str]]:
    """The document after its script has run, and everything the console said."""
    file = folder / f"{name}.html"
    file.write_text(page, encoding="utf-8")
    call = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        "--log-level=0", f"--window-size={width},700", f"--user-data-dir={folder / f'profile-{name}'}", "--dump-dom",
        f"file://{file}",
    ]  # fmt: skip
    ran = subprocess.run(call, capture_output=True, text=True, timeout=120)
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def notebook(cell: str, charset: str = "utf-8") -> str:
    """Around it, what a notebook has: other outputs, and styles of its own."""
    head = f"<meta charset='{charset}'><style>table {{ color: red }}</style>"
    return f"<!doctype html>{head}<body><p>Out[1]:</p><div class='output'>{cell}</div></body>"


def test_nothing_is_asked_for_from_outside(cell: str):
    page = page_of(cell)
    assert "default-src 'none'" in page
    visible = page.split('<script type="application/json"')[0]
    for outside in ("http:", "https:", "src=", "url(", "@import", "<link"):
        assert outside not in visible, outside


def test_a_browser_shows_it_without_complaint(cell: str, tmp_path: Path):
    dom, console = opened(tmp_path, "notebook", notebook(cell))
    assert console == [] and "<iframe" in dom
    # The policy inside of the frame is in force: the guard of the line above.
    evil = cell.replace("&lt;main&gt;", "&lt;main&gt;&lt;img src=&quot;http://127.0.0.1:9/x.png&quot;&gt;", 1)
    assert evil != cell
    _, console = opened(tmp_path, "evil", notebook(evil))
    assert any("Content Security Policy" in line for line in console), console


def test_a_page_in_another_encoding_shows_it_too(cell: str, tmp_path: Path):
    """The script is the one whose hash the policy has, whatever the browser takes the notebook's bytes for."""
    assert cell.isascii() and not page_of(cell).isascii()
    dom, console = opened(tmp_path, "windows", notebook(cell, "windows-1252"))
    assert console == [] and "<iframe" in dom


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits(cell: str, tmp_path: Path, width: int):
    """Nothing sticks out sideways at the width of a cell. Asked through the frame, its sandbox taken away for that."""
    page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page_of(cell))
    framed = notebook(f'<iframe srcdoc="{html.escape(page)}" style="width:{width}px;height:640px;border:0"></iframe>')
    tell = """<script>onload = () => {
        const { document: inner, innerWidth: there } = frames[0];
        const drawings = inner.querySelectorAll("svg").length;
        document.title = `${inner.documentElement.scrollWidth} of ${there} with ${drawings}`;
    }</script>"""
    dom, _ = opened(tmp_path, f"fits-{width}", framed.replace("</body>", f"{tell}</body>"), 1200)
    found = re.search(r"<title>(\d+) of (\d+) with (\d+)</title>", dom)
    assert found, dom[:500]
    needed, there, drawings = map(int, found.groups())
    assert there == width and needed <= width, f"{needed} pixels in a frame of {there}"
    assert drawings >= 2
