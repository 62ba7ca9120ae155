"""A JAX training whose gradient vanishes, found by `isogain.Recorder` within five steps.

    python jax_mlp.py            # 24 sigmoid layers: an error, with its reason and remedies
    python jax_mlp.py relu       # 6 ReLU layers, He: nothing to report
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import isogain

WIDTH, CLASSES, RATE = 32, 10, 0.1
Params = dict[str, dict[str, jax.Array]]


def init(key: jax.Array, depth: int, gain: float) -> Params:
    """`depth` hidden layers and a head; weights [fan_in, fan_out] of variance gain / fan_in."""
    # JAX hands mappings on with sorted keys: these names sort in the order in which the layers run.
    names = [f"fc{at + 1:02}" for at in range(depth)] + ["head"]
    params = {}
    for name, key in zip(names, jax.random.split(key, len(names))):
        fan_out = CLASSES if name == "head" else WIDTH
        weight = jax.random.normal(key, (WIDTH, fan_out)) * (gain / WIDTH) ** 0.5
        params[name] = {"weight": weight, "bias": jnp.zeros(fan_out)}
    return params


def forward(params: Params, taps: dict[str, jax.Array], x: jax.Array, phi: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Logits and every operation's output. A tap is a zero that is added there: its gradient is the cotangent."""
    outputs = {}
    for name, layer in params.items():
        x = outputs[name] = x @ layer["weight"] + layer["bias"] + taps[name]
        if name != "head":
            name = name.replace("fc", "phi")
            x = outputs[name] = phi(x) + taps[name]
    return x, outputs


def main(kind: str = "sigmoid", steps: int = 20, run: str | None = None) -> list[isogain.Finding]:
    """Trains, and returns what was found."""
    phi, depth, gain = (jax.nn.relu, 6, 2.0) if kind == "relu" else (jax.nn.sigmoid, 24, 1.0)
    params = init(jax.random.key(0), depth, gain)

    def loss_of(params: Params, taps: dict[str, jax.Array], x: jax.Array, y: jax.Array) -> Any:
        logits, outputs = forward(params, taps, x, phi)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y]), outputs

    gradient_of = jax.jit(jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True))
    draw = np.random.default_rng(0)
    prototypes = draw.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    kinds = {f"phi{at + 1:02}": kind for at in range(depth)}
    taps = {name: jnp.zeros((64, CLASSES if name == "head" else WIDTH)) for name in [*params, *kinds]}
    order = [name for at in range(depth) for name in (f"fc{at + 1:02}", f"phi{at + 1:02}")] + ["head"]
    settings: dict[str, Any] = {"order": order, "chain": True, "kinds": kinds, "baseline": float(np.log(CLASSES))}
    with isogain.Recorder(run, optimizer="sgd", **settings) as recorder:
        for _ in range(steps):
            y = draw.integers(0, CLASSES, 64)
            x = (prototypes[y] + draw.normal(size=(64, WIDTH)).astype(np.float32)) / 2**0.5
            (loss, outputs), (gradients, cotangents) = gradient_of(params, taps, x, y)
            recorder.step(
                loss=float(loss),
                activations=outputs,
                cotangents=cotangents,
                parameters=params,
                gradients=gradients,
                learning_rate=RATE,
            )
            params = jax.tree.map(lambda weight, gradient: weight - RATE * gradient, params, gradients)
    return recorder.findings


if __name__ == "__main__":
    main(*sys.argv[1:2])
