"""`isogain.Recorder` with numpy and JAX."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import isogain

DRAW = np.random.default_rng(0)


def numpy_step(at: int, layers: int = 10, gain: float = 1.0) -> dict[str, Any]:
    """A step of a chain whose cotangent changes by `gain` from layer to layer on its way back."""
    names = [f"fc{layer}" for layer in range(layers)] + ["head"]

    def size(layer: int) -> float:
        return 1e-3 * gain ** (layers - layer)

    def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return DRAW.normal(size=shape).astype(np.float32)

    return {
        "loss": 2.3,
        "activations": {name: draw(64, 16) for name in names},
        "cotangents": {name: size(layer) * draw(64, 16) for layer, name in enumerate(names)},
        "parameters": {name: {"weight": draw(16, 16) / 4} for name in names},
        "gradients": {name: {"weight": size(layer) * draw(16, 16)} for layer, name in enumerate(names)},
        "updates": {name: {"weight": -0.01 * draw(16, 16)} for name in names},
        "learning_rate": 0.05,
    }


def read(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "run.jsonl").read_text().splitlines()]


def test_what_is_recorded_is_what_numpy_says(tmp_path: Path) -> None:
    step = numpy_step(0)
    with isogain.Recorder(tmp_path, optimizer="sgd", baseline=2.3) as recorder:
        recorder.step(**step)
    header, line = read(tmp_path)
    assert [op["name"] for op in header["network"]["ops"]] == [f"fc{at}" for at in range(10)] + ["head"]
    assert header["network"]["ops"][0] | {"fan_in": 16, "fan_out": 16, "kind": "linear"} == header["network"]["ops"][0]
    joint, parameter = line["joints"][3], line["parameters"][3]
    assert (joint["name"], parameter["name"]) == ("fc3", "fc3.weight")

    def squares(array: Any) -> Any:
        return pytest.approx(float(np.square(array.astype(np.float64)).sum()))

    assert joint["activation"]["sum_of_squares"] == squares(step["activations"]["fc3"])
    assert joint["cotangent"]["sum_of_squares"] == squares(step["cotangents"]["fc3"])
    assert parameter["weight"]["sum_of_squares"] == squares(step["parameters"]["fc3"]["weight"])
    assert parameter["gradient"]["sum_of_squares"] == squares(step["gradients"]["fc3"]["weight"])
    assert parameter["update"]["sum_of_squares"] == squares(step["updates"]["fc3"]["weight"])
    assert (line["step"], line["loss"], line["learning_rate"]) == (0, 2.3, 0.05)


def test_findings_come_as_in_watch() -> None:
    with isogain.Recorder(optimizer="sgd", baseline=2.3, chain=True) as recorder:
        for at in range(10):
            recorder.step(**numpy_step(at))
    assert recorder.findings == []
    seen: list[isogain.Finding] = []
    with isogain.Recorder(optimizer="sgd", baseline=2.3, chain=True, on_finding=seen.append) as recorder:
        for at in range(10):
            recorder.step(**numpy_step(at, gain=0.1))
    assert [finding.rule for finding in seen] == ["vanishing-gradient"]
    assert seen[0].layers == ("fc0", "fc9")


def test_a_nan_is_named() -> None:
    step = numpy_step(0)
    with isogain.Recorder(optimizer="sgd", on_finding="raise") as recorder:
        recorder.step(**step)
        step["activations"]["fc4"][5, 3] = np.nan
        with pytest.raises(isogain.FindingError, match="step 1 in fc4"):
            recorder.step(**step)


def test_the_loss_alone_is_enough() -> None:
    with isogain.Recorder(optimizer="sgd", baseline=2.3) as recorder:
        recorder.step(**numpy_step(0))
        for at in range(20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                recorder.step(loss=2.0 * 1.5**at)
    assert [finding.rule for finding in recorder.findings] == ["diverging-loss"]


def test_what_is_no_array_is_refused_with_its_name() -> None:
    recorder = isogain.Recorder()
    with pytest.raises(TypeError, match="gradient 'fc1.weight': .*floating-point"):
        recorder.step(gradients={"fc1": {"weight": np.arange(4)}})
    with pytest.raises(KeyError, match="no activation was ever given"):
        recorder.step(cotangents={"fc9": np.ones(3)})
    with pytest.raises(ValueError, match="known are sgd, momentum, adam"):
        isogain.Recorder(optimizer="lion")
    with pytest.raises(KeyError, match="no parameter 'fc1.weight'"):
        isogain.Recorder(kinds={"fc1": "linear"}).step(activations={"fc1": np.ones((4, 2))})


def example(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_jax_example(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    module = example("jax_mlp")
    with pytest.warns(isogain.FindingWarning, match="vanishing-gradient"):
        findings = module.main("sigmoid", run=tmp_path)
    assert [finding.rule for finding in findings] == ["vanishing-gradient"]
    assert findings[0].layers == ("fc01", "fc24")
    assert [op["name"] for op in read(tmp_path)[0]["network"]["ops"][:3]] == ["fc01", "phi01", "fc02"]
    assert module.main("relu") == []
