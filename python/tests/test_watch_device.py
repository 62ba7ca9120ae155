"""Models on a device. Without one, the same way of reading runs on the CPU, and must record the same numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import isogain
from isogain import _core
from isogain.watching.device import magnitudes, row
from test_watch import batch, lines, mlp, train


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_row_is_what_the_native_half_counts(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(7, 33, generator=draw).to(dtype)
    values[0, :5] = torch.tensor([0.0, -0.0, float("nan"), float("inf"), -float("inf")]).to(dtype)
    for tensor in (values, values[1:, ::3].t(), values[:0]):
        count, total, squares, zeros, non_finite, low, high, largest = row(tensor).tolist()
        found = _core.statistics(tensor)
        assert (count, zeros, non_finite) == (found["count"], found["zeros"], found["non_finite"])
        assert total == pytest.approx(found["sum"]) and squares == pytest.approx(found["sum_of_squares"])
        if count:
            assert (low, high, largest) == (found["min"], found["max"], found["abs_max"])
        if dtype != torch.float64:
            assert magnitudes(tensor).tolist() == _core.statistics(tensor, histogram=True)["histogram"]


def test_magnitudes_at_the_ends_of_the_range() -> None:
    ends = [0.0, -0.0, 2.0**-149, 2.0**-127, 2.0**-126, -(2.0**-126), 1.0, 2.0, 3.4e38, float("inf"), float("nan")]
    tensor = torch.tensor(ends)
    assert magnitudes(tensor).tolist() == _core.statistics(tensor, histogram=True)["histogram"]


def record(folder: Path, device: str, scaler: Any = None) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    model = nn.Sequential(*mlp(3), nn.Identity()).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    with isogain.watch(model, optimizer, run=folder, every=1, scaler=scaler, histogram=True) as w:
        for _ in range(24):
            x, y = (part.to(device) for part in batch(generator))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            w.loss(loss)
            if scaler is None:
                loss.backward()
                optimizer.step()
            else:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
    assert not w._guard.failures, w._guard.failures
    assert w.findings == []
    return lines(folder, "step")


def agree(left: Any, right: Any, where: str = "", tolerance: float = 1e-6) -> None:
    assert type(left) is type(right) or (isinstance(left, (int, float)) and isinstance(right, (int, float))), where
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            agree(left[key], right[key], f"{where}.{key}", tolerance)
    elif isinstance(left, list):
        assert len(left) == len(right), where
        for at, (one, other) in enumerate(zip(left, right)):
            agree(one, other, f"{where}[{at}]", tolerance)
    elif isinstance(left, float):
        # Sums of values of both signs: absolute to what a rounding of the parts may change.
        assert math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-6), (where, left, right)
    else:
        assert left == right, (where, left, right)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_device_side_records_what_the_native_half_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scaled: bool
) -> None:
    def scaler() -> Any:
        return torch.amp.GradScaler("cpu", init_scale=256.0) if scaled else None

    native = record(tmp_path / "native", "cpu", scaler())
    monkeypatch.setattr("isogain.watching.watcher.is_on_device", lambda model: True)
    agree(native, record(tmp_path / "device", "cpu", scaler()))


def test_findings_come_a_step_later_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isogain.watching.watcher.is_on_device", lambda model: True)
    torch.manual_seed(0)
    model = mlp(30)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with pytest.warns(isogain.FindingWarning, match="step 4: error.vanishing-gradient"):
        with isogain.watch(model, optimizer) as w:
            train(model, optimizer, 6, w)
            assert [finding.step for finding in w.findings] == [4]
    model = mlp(3, he=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2.0)
    with pytest.warns(isogain.FindingWarning, match="dead-units"):
        with isogain.watch(model, optimizer) as w:
            train(model, optimizer, 60, w)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_no_hook_waits(tmp_path: Path) -> None:
    native = record(tmp_path / "cpu", "cpu")
    agree(native[0], record(tmp_path / "gpu", "cuda")[0], tolerance=1e-3)
    model = mlp(3).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = (part.cuda() for part in batch(torch.Generator().manual_seed(1)))
    with isogain.watch(model, optimizer, every=1) as w:
        for at in range(30):
            torch.cuda.set_sync_debug_mode("error" if at > 2 else "default")
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            w.loss(loss)
            loss.backward()
            optimizer.step()
        torch.cuda.set_sync_debug_mode("default")
    assert not w._guard.failures, w._guard.failures
