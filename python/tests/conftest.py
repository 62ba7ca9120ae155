"""Tests run on one thread each: the machine's cores are for tests side by side. Under CI nothing may be left out but what
needs a GPU."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

torch.set_num_threads(1)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not os.environ.get("CI"):
        return
    reasons = [str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", [])]
    missing = sorted({reason for reason in reasons if "CUDA" not in reason and "GPU" not in reason})
    if missing:
        terminalreporter.write_line(f"skipped under CI: {'; '.join(missing)}", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED
