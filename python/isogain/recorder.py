"""`isogain.Recorder`: the record and the findings of a training in any framework, from arrays handed over by name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from isogain import _core
from isogain.findings import Finding, OnFinding, announce, check_on_finding

__all__ = ["Recorder"]

_NOTHING, _EVERYTHING = 0, 2

#: Names of optimizers in a recipe.
_OPTIMIZERS = ("sgd", "momentum", "adam")


class Recorder:
    """Takes arrays (numpy, JAX, anything that speaks DLPack, in this process's memory) and keeps their statistics.

        with isogain.Recorder("runs/mine", optimizer="sgd") as r:
            for batch in data:
                loss, gradients, activations = ...
                r.step(loss=loss, gradients=gradients, activations=activations, parameters=weights, learning_rate=0.1)

    Mappings may be nested; names are joined with a dot. A parameter that is named `fc1.weight` belongs to the operation
    `fc1`. Operations are taken to run in the order in which their activations are first given, unless `order` names them.

    run: folder of the record; none is written without it.
    order: operations in the order in which they run. JAX sorts the keys of what a compiled function returns.
    chain: every operation reads the output of the one before it, and nothing else. Findings say more then.
    kinds: what an operation is, where its name and weight do not tell: `{"relu1": "relu", "norm1": "layer-norm"}`; names of
        activations as in a recipe, `batch-norm`, `batch-renorm`, `layer-norm`, `rms-norm`, `linear`, `convolution` or `other`.
    baseline: loss of a network that knows nothing, such as ln(classes) for cross-entropy.
    steps: updates planned.
    """

    def __init__(
        self,
        run: str | os.PathLike[str] | None = None,
        *,
        optimizer: str = "adam",
        eps: float = 0.0,
        momentum: float = 0.0,
        order: Iterable[str] = (),
        chain: bool = False,
        kinds: Mapping[str, str] | None = None,
        baseline: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        source: str = "recorder",
        on_finding: OnFinding = "warn",
    ) -> None:
        check_on_finding(on_finding)
        if optimizer not in _OPTIMIZERS:
            raise ValueError(f"optimizer is {optimizer!r}; known are {', '.join(_OPTIMIZERS)}")
        if run is not None and (Path(run) / "run.jsonl").exists():
            raise FileExistsError(f"{os.fspath(run)} holds a run already; choose another folder")
        self.findings: list[Finding] = []
        self._on_finding = on_finding
        self._native = _core.Watch(run)
        self._kinds = dict(kinds or {})
        self._order = list(order)
        self._chain = chain
        self._parameters: dict[str, int] = {}
        self._operations: dict[str, int] = {}
        self._step = 0
        self._settings = {
            "source": source,
            "optimizer": {"name": optimizer, "learning_rate": 0.0, "eps": eps, "momentum": momentum},
            "steps": steps,
            "baseline": baseline,
            "seed": seed,
        }

    def step(
        self,
        *,
        loss: float | None = None,
        gradients: Mapping[str, Any] | None = None,
        activations: Mapping[str, Any] | None = None,
        cotangents: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        updates: Mapping[str, Any] | None = None,
        learning_rate: float = 1e-3,
    ) -> list[Finding]:
        """Takes in one step, and returns what is newly wrong. Parameters are those before the update; cotangents are
        gradients of the mean loss with respect to the activations of the same names."""
        mappings = {
            "weight": parameters,
            "gradient": gradients,
            "change": updates,
            "activation": activations,
            "cotangent": cotangents,
        }
        given = {which: dict(flat(arrays or {})) for which, arrays in mappings.items()}
        measured = any(given.values())
        self._native.begin(_EVERYTHING if measured else _NOTHING, 1.0)
        outputs = given["activation"]
        for name in [*(name for name in self._order if name in outputs), *outputs]:
            if name not in self._operations:
                array = outputs[name]
                kind = self._kind(name, array, {**given["weight"], **given["gradient"]})
                reads = self._chain and bool(self._operations)
                self._operations[name] = self._native.add_operation(name, json.dumps(kind), reads)
        unknown = given["cotangent"].keys() - self._operations.keys()
        if unknown:
            raise KeyError(f"a cotangent of {sorted(unknown)[0]!r}, of which no activation was ever given")
        for which, arrays in given.items():
            self._read(which, arrays)
        if measured and not self._native.is_described():
            batch = next((int(array.shape[0]) for array in given["activation"].values() if array.ndim), 0)
            rate = {**self._settings["optimizer"], "learning_rate": learning_rate}  # type: ignore[dict-item]
            loss_kind = "unknown" if loss is None else "other"
            described = {**self._settings, "optimizer": rate, "loss": loss_kind, "batch": batch}
            self._native.describe(json.dumps(described))
        told = self._native.finish(self._step, None if loss is None else float(loss), float(learning_rate))
        self._step += 1
        found = [Finding.parse(document, text) for document, text, _ in told]
        self.findings += found
        for finding in found:
            announce(finding, self._on_finding)
        return found

    def close(self) -> None:
        """Ends the record; returns once it is on disk."""
        self._native.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, which: str, arrays: Mapping[str, Any]) -> None:
        if which in ("activation", "cotangent"):
            places = [self._operations[name] for name in arrays]
        else:
            for name in arrays:
                if name not in self._parameters:
                    self._parameters[name] = self._native.add_parameter(name)
            places = [self._parameters[name] for name in arrays]
        failed = self._native.read(which, places, list(arrays.values()))
        if failed:
            names = list(arrays)
            place, reason = failed[0]
            raise TypeError(f"{which} {names[places.index(place)]!r}: {reason}")

    def _kind(self, name: str, activation: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        features = int(activation.shape[-1]) if activation.ndim else 1
        weight = parameters.get(f"{name}.weight")
        given = self._kinds.get(name)
        if given is None:
            given = "other" if weight is None or weight.ndim < 2 else "linear" if weight.ndim == 2 else "convolution"
        if given in ("linear", "convolution"):
            if weight is None:
                raise KeyError(f"{name!r} is said to be {given}, but there is no parameter '{name}.weight'")
            fan_in = 1
            for size in weight.shape:
                fan_in *= int(size)
            return {"kind": given, "fan_in": max(fan_in // features, 1), "fan_out": features}
        if given.endswith(("-norm", "-renorm")):
            return {"kind": "norm", "norm": given.removesuffix("-norm"), "features": features, "eps": 1e-5}
        if given == "other":
            return {"kind": "other", "operation": "other", "weighted": weight is not None}
        return {"kind": "activation", "activation": given}


def flat(arrays: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a nested mapping, names joined with a dot."""
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value
