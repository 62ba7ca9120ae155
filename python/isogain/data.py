"""Data for trials: batches that are a function of seed and step, and what a model is judged on.

Read from tensors, from torch datasets and loaders, or from a function of the seed that gives batches. Inputs and targets are
tensors in any nesting of tuples, lists and mappings, that share their first axis: a tuple or list of inputs is what the model
takes as separate arguments, a mapping what it takes by keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from isogain.arguments import expect_int

# Samples of each part that a model is judged on, evenly spread over it: the standard error of an accuracy is then
# below 0.005.
MOST_JUDGED = 10_000

# Batches that stand for the training part where it comes from a function, and the seed they are drawn with.
_JUDGED_BATCHES = 16
_JUDGING_SEED = 2**31 - 1


class Data(Protocol):
    """What trials need of data. A batch is (inputs, targets)."""

    has_test: bool

    def batches(self, seed: int) -> Iterator[Any]:
        """Batches without end, the same for the same seed."""
        ...

    def training(self) -> Iterable[Any]:
        """The training part to judge on, in batches."""
        ...

    def test(self) -> Iterable[Any]:
        """The test part to judge on, in batches; empty without one."""
        ...

    def training_part(self) -> tuple[Any, Any]:
        """Inputs and targets of the training part at once."""
        ...


def read(data: Any, batch_size: int) -> Data:
    """(inputs, targets), ((inputs, targets), (test inputs, test targets)), a mapping of tensors, a torch dataset of samples or a
    pair of them, a `DataLoader` or a pair of them, or a function seed -> iterable of batches. Of a loader its dataset, its size of a
    batch and its `collate_fn` are taken; the order follows the seed of each trial.

    Raises `TypeError` for anything else, and `ValueError` where tensors do not have as many samples as each other, or where
    ((a, b), (c, d)) can be two inputs with two targets as well as a training and a test part.
    """
    expect_int(1, batch_size=batch_size)
    if isinstance(data, tuple | list) and len(data) == 2:
        first, second = (dict(part) if isinstance(part, Mapping) else part for part in data)
        if isinstance(first, DataLoader) and isinstance(second, DataLoader):
            return _Indexed(_loaded(first), _loaded(second), first.batch_size or batch_size)
        if _are_tensors(first) and _are_tensors(second):
            return _Indexed(*_parts(first, second), batch_size)
        if _is_dataset(first) and _is_dataset(second):
            return _Indexed(_Items(first), _Items(second), batch_size)
    elif isinstance(data, DataLoader):
        return _Indexed(_loaded(data), None, data.batch_size or batch_size)
    elif isinstance(data, Mapping) and _are_tensors(dict(data)):
        return _Indexed(_Tensors(dict(data), dict(data)), None, batch_size)
    elif _is_dataset(data):
        return _Indexed(_Items(data), None, batch_size)
    elif callable(data):
        return _Streamed(data)
    kind = type(data).__name__
    if isinstance(data, tuple):
        kind += f" of {', '.join(type(part).__name__ for part in data)}"
    raise TypeError(
        f"data is a {kind}: needs (inputs, targets), ((inputs, targets), (test inputs, test targets)), or a mapping, all of "
        "tensors, a torch Dataset or DataLoader or a pair of them, or a function seed -> iterable of batches"
    )


def _are_tensors(value: Any) -> bool:
    leaves = tree_leaves(value)
    return bool(leaves) and all(isinstance(leaf, Tensor) and leaf.ndim > 0 for leaf in leaves)


def _samples(value: Any) -> list[int]:
    """The lengths of all tensors, each once."""
    return sorted({len(leaf) for leaf in tree_leaves(value)})


def _kinds(value: Any) -> list[Any]:
    return [(leaf.dtype, leaf.ndim) for leaf in tree_leaves(value)]


def _parts(first: Any, second: Any) -> tuple[_Tensors, _Tensors | None]:
    """Training and test part of (inputs, targets) or of ((inputs, targets), (test inputs, test targets)), which look alike where
    there are two inputs and two targets."""
    if all(isinstance(part, tuple | list) and len(part) == 2 for part in (first, second)):
        lengths = _samples((first, second))
        if len(lengths) > 1:
            return _Tensors(*first), _Tensors(*second)
        if _kinds(first) == _kinds(second):
            raise ValueError(
                f"data is ((a, b), (c, d)) of {lengths[0]} samples each, a of the kind of c and b of that of d: either two inputs with "
                "two targets, or a training and a test part. Name the inputs as the model's forward does, ({'x': a, 'y': b}, (c, d)), "
                "or give the parts as datasets, (TensorDataset(a, b), TensorDataset(c, d))"
            )
    return _Tensors(first, second), None


def _is_dataset(value: Any) -> bool:
    """Anything of samples by number. Neither a mapping is, nor an array: its items are inputs without targets."""
    has_items = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return isinstance(value, Dataset) or (
        has_items and not isinstance(value, Mapping) and not hasattr(value, "__array__") and not callable(value)
    )


class _Tensors:
    def __init__(self, inputs: Any, targets: Any) -> None:
        lengths = _samples((inputs, targets))
        if len(lengths) > 1 or not lengths[0]:
            counts = [" or ".join(map(str, _samples(part))) for part in (inputs, targets)]
            raise ValueError(f"{counts[0]} inputs and {counts[1]} targets: needs as many of both, and at least one")
        self.count, self.inputs, self.targets = lengths[0], inputs, targets

    def __len__(self) -> int:
        return self.count

    def rows(self, rows: Tensor) -> Any:
        return _pair(tree_map(lambda tensor: tensor[rows], (self.inputs, self.targets)))


def _loaded(loader: DataLoader[Any]) -> _Items:
    if isinstance(loader.dataset, IterableDataset):
        raise TypeError(
            "the DataLoader reads an IterableDataset, whose order no seed decides: give a function seed -> iterable of batches"
        )
    return _Items(loader.dataset, loader.collate_fn if loader.batch_size is not None else default_collate)


class _Items:
    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any] = default_collate) -> None:
        self.dataset, self.collate = dataset, collate
        if not len(dataset):
            raise ValueError("the dataset is empty")

    def __len__(self) -> int:
        return len(self.dataset)

    def rows(self, rows: Tensor) -> Any:
        return _pair(self.collate([self.dataset[row] for row in rows.tolist()]))


class _Indexed:
    def __init__(self, train: _Tensors | _Items, test: _Tensors | _Items | None, batch_size: int) -> None:
        self.train, self.test_part, self.batch_size = train, test, min(batch_size, len(train))
        self.has_test = test is not None

    def batches(self, seed: int) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(seed)
        count, size = len(self.train), self.batch_size
        while True:
            order = torch.randperm(count, generator=generator)
            # The rest of an epoch that fills no batch is left out, so that every step sees as many samples.
            for start in range(0, count - size + 1, size):
                yield self.train.rows(order[start : start + size])

    def training(self) -> Iterable[Any]:
        return self._judged(self.train)

    def test(self) -> Iterable[Any]:
        return self._judged(self.test_part) if self.test_part is not None else []

    def training_part(self) -> tuple[Any, Any]:
        inputs, targets = self.train.rows(_spread(len(self.train)))
        return inputs, targets

    def _judged(self, part: _Tensors | _Items) -> Iterator[Any]:
        for rows in torch.split(_spread(len(part)), max(self.batch_size, 512)):
            yield part.rows(rows)


def _spread(count: int) -> Tensor:
    """All rows, or the most that are judged, evenly spread."""
    return torch.arange(count) if count <= MOST_JUDGED else torch.arange(MOST_JUDGED) * count // MOST_JUDGED


class _Streamed:
    has_test = False

    def __init__(self, stream: Callable[[int], Iterable[Any]]) -> None:
        self.stream = stream
        self.judged = [_pair(batch) for batch in islice(iter(stream(_JUDGING_SEED)), _JUDGED_BATCHES)]
        if not self.judged:
            raise ValueError("the function for data gives no batch")

    def batches(self, seed: int) -> Iterator[Any]:
        while True:
            yield from map(_pair, self.stream(seed))

    def training(self) -> Iterable[Any]:
        return self.judged

    def test(self) -> Iterable[Any]:
        return []

    def training_part(self) -> tuple[Any, Any]:
        inputs, targets = ([batch[part] for batch in self.judged] for part in (0, 1))
        return _joined(inputs), _joined(targets)


def _pair(batch: Any) -> tuple[Any, Any]:
    """(inputs, targets); a mapping alone is both, because its targets are among its entries. Inputs that a loader put into a list
    become a tuple of arguments, and mappings of other libraries plain ones."""
    if isinstance(batch, Mapping):
        return dict(batch), dict(batch)
    if len(batch) != 2:
        raise ValueError(
            f"a batch has {len(batch)} parts: needs (inputs, targets), where several inputs are a tuple, ((a, b), targets); or a "
            "mapping of keyword arguments"
        )
    inputs, targets = batch
    if isinstance(inputs, Mapping):
        return dict(inputs), targets
    return tuple(inputs) if isinstance(inputs, list) else inputs, targets


def _joined(parts: list[Any]) -> Any:
    return torch.cat(parts) if all(isinstance(part, Tensor) for part in parts) else parts[0]
