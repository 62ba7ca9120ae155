"""Data of several inputs and targets: how it is read, and that `check` and `cure` take the same."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import isogain
from isogain.curing import cure
from isogain.data import read
from standin import HE, install

X, Y = torch.randn(96, 20, generator=torch.Generator().manual_seed(0)), torch.arange(96) % 4


class Two(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.head = nn.Linear(20, 8), nn.Linear(20, 8), nn.Linear(8, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.relu(self.one(a) + self.other(b)))


class One(Two):
    def forward(self, a: Tensor) -> Tensor:
        return super().forward(a, a)


def loss(outputs: Tensor, targets: Any) -> Tensor:
    targets = [targets] if isinstance(targets, Tensor) else [*targets.values()] if isinstance(targets, dict) else targets
    return sum((nn.functional.cross_entropy(outputs, t) for t in targets), torch.zeros(()))


SAMPLES = [((x, x), y) for x, y in zip(X, Y, strict=True)]
KINDS: dict[str, tuple[type[nn.Module], Any, bool]] = {
    "two inputs": (Two, ((X, X), Y), False),
    "a list of inputs": (Two, ([X, X], Y), False),
    "inputs by name": (Two, ({"a": X, "b": X}, Y), False),
    "two targets": (One, (X, (Y, Y)), False),
    "targets by name": (One, (X, {"c": Y, "d": Y}), False),
    "two inputs and two targets": (Two, ((X, X), (Y, Y)), False),
    "named inputs and two targets": (Two, ({"a": X, "b": X}, (Y, Y)), False),
    "training and test part": (Two, (((X, X), Y), ((X[:32], X[:32]), Y[:32])), True),
    "samples": (Two, SAMPLES, False),
    "a loader": (Two, DataLoader(SAMPLES, batch_size=32), False),
    "two loaders": (Two, (DataLoader(SAMPLES, batch_size=32), DataLoader(SAMPLES[:32])), True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_cure_and_check_take_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    model, data, has_test = KINDS[kind]
    install(monkeypatch, [HE])
    result = cure(model, data, loss, steps=4, batch_size=32, progress=False, executor="serial")
    assert result.data is not None
    run = result.data["baseline"]["seeds"][0]
    assert run["loss"] is not None and (run["test_loss"] is not None) == has_test
    batch = next(read(data, 32).batches(0))
    assert isogain.check(model(), batch, loss).flow["joints"]


def test_a_batch_of_a_loader_is_one_for_check() -> None:
    batch = next(iter(DataLoader(SAMPLES, batch_size=32)))
    assert type(batch[0]) is list, "which is what this test is about"
    model = Two()
    expected = isogain.check(model, ((X[:32], X[:32]), Y[:32]), loss).data
    assert isogain.check(model, batch, loss).data == expected
    with pytest.raises(TypeError, match=r"`next\(iter\(loader\)\)`"):
        isogain.check(model, DataLoader(SAMPLES), loss)


def test_a_list_that_is_one_argument_stays_one() -> None:
    class Stacking(One):
        def forward(self, images: list[Tensor], scale: float = 1.0) -> Tensor:
            return super().forward(scale * torch.stack(images))

    assert isogain.check(Stacking(), ([*X[:16]], Y[:16]), loss).flow["joints"]


def test_a_mapping_alone_has_inputs_and_targets() -> None:
    inputs, targets = next(read({"a": X, "b": X, "labels": Y}, 32).batches(0))
    assert set(inputs) == set(targets) == {"a", "b", "labels"} and len(inputs["a"]) == 32


def test_mappings_of_other_libraries() -> None:
    """Such as the `BatchEncoding` of transformers."""
    inputs, targets = next(read((UserDict({"a": X, "b": X}), Y), 32).batches(0))
    assert type(inputs) is dict and len(inputs["a"]) == len(targets) == 32
    assert isogain.check(Two(), (UserDict({"a": X, "b": X}), Y), loss).flow["joints"]


def test_what_can_be_read_in_two_ways_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(\(a, b\), \(c, d\)\) of 96 samples each.*TensorDataset\(a, b\)"):
        read(((X, Y), (X, Y)), 32)
    assert not read(((X, X), (Y, Y)), 32).has_test, "no test inputs are classes"
    assert not read(({"x": X, "z": X}, (Y, Y)), 32).has_test
    assert read((TensorDataset(X, Y), TensorDataset(X, Y)), 32).has_test


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (((X, X[:90]), Y), "90 or 96 inputs and 96 targets"),
        (((X, Y[:90]), (X[:10], Y[:10])), "96 inputs and 90 targets"),
        ((X[:0], Y[:0]), "0 inputs and 0 targets"),
    ],
)
def test_lengths_that_do_not_fit(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(data, 32)


def test_arrays_are_no_tensors() -> None:
    with pytest.raises(TypeError, match=r"data is a tuple of ndarray, ndarray: needs \(inputs, targets\)"):
        read((np.zeros((8, 2)), np.zeros(8)), 4)
