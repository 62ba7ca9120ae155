"""Writes tests/golden/kinds/*.json: one small network of each kind, by PyTorch in float64.

Each file holds the network as isogain writes it, its parameters in isogain's layout, a batch, and what PyTorch finds:
outputs, loss, the gradient of every parameter, activations and cotangents of every joint, and the outputs in evaluation
mode where a normalisation has running statistics.

    python oracle/kinds.py crates/isogain/tests/golden/kinds
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator import Stream

INIT = "pytorch-default"


class Case:
    """Builds a network operation by operation, and runs it."""

    def __init__(self, seed: int, grid: list[int], features: int, outputs: int, loss: str = "cross-entropy") -> None:
        self.stream, self.loss = Stream(seed), loss
        self.network = {"input": {"grid": grid, "features": features}, "outputs": outputs, "ops": [], "loss": loss}
        self.parameters: dict[str, Tensor] = {}
        self.joints: dict[str, Tensor] = {}
        self.running: dict[str, tuple[Tensor, Tensor]] = {}
        # Where running statistics start that are read in training: mean, variance and batches.
        self.before: dict[str, tuple[list[float], list[float], int]] = {}
        # Outputs of auxiliary heads with the factor on their loss.
        self.auxiliary: list[tuple[float, Tensor]] = []
        self.training = True

    def parameter(self, name: str, shape: list[int], scale: float, shift: float = 0.0) -> Tensor:
        if name not in self.parameters:
            count = math.prod(shape)
            values = [round32(self.stream.symmetric() * scale + shift) for _ in range(count)]
            self.parameters[name] = torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_()
        return self.parameters[name]

    def keep(self, name: str, value: Tensor) -> Tensor:
        if self.training:
            value.retain_grad()
            self.joints[name] = value
        return value

    # Each of these takes [batch, positions..., features].

    def computed(self, op: dict, name: str, weight: Tensor, kind: str | None) -> Tensor:
        """The weight `[fan_in, units]` that a layer multiplies by, from the one that is trained."""
        if kind is None:
            return weight
        op["weight_norm"] = kind
        gain = self.parameter(f"{name}.gain", [1 if kind in ("spectral", "orthogonal") else weight.shape[1]], 0.5, 1.0)
        if kind == "spectral":
            with torch.no_grad():
                right = functional.normalize(1 + 0.5 * torch.sin(1.7 * torch.arange(weight.shape[1], dtype=weight.dtype)), dim=0)
                for _ in range(15):
                    left = functional.normalize(weight @ right, dim=0)
                    right = functional.normalize(weight.T @ left, dim=0)
            return gain * weight / (left @ weight @ right)
        if kind == "orthogonal":
            return gain * nearest(weight)
        if kind == "norm":
            return torch._weight_norm(weight, gain[None], 1)
        centred = weight - weight.mean(0)
        return gain * centred * torch.rsqrt(weight.var(0, unbiased=False) * weight.shape[0])

    def linear(self, ops: list, name: str, x: Tensor, units: int, tied: str | None = None,
               weight_norm: str | None = None) -> Tensor:
        fan_in = x.shape[-1]
        op = {"name": name, "kind": "linear", "fan_in": fan_in, "fan_out": units, "init": INIT, "activation": "linear"}
        if tied:
            op["tied"] = tied
            weight = self.parameters[f"{tied}.weight"].T
        else:
            weight = self.parameter(f"{name}.weight", [fan_in, units], 1.5 / math.sqrt(fan_in))
            weight = self.computed(op, name, weight, weight_norm)
        ops.append(op)
        return self.keep(name, x @ weight + self.parameter(f"{name}.bias", [units], 0.3))

    def convolution(self, ops: list, name: str, x: Tensor, channels: int, size: list[int], stride: int, padding: list[int],
                    weight_norm: str | None = None) -> Tensor:
        batch, height, width, inputs = x.shape
        taps = size[0] * size[1]
        window = {"grid": [height, width], "size": size, "stride": [stride, stride], "padding": padding}
        ops.append({"name": name, "kind": "convolution", "fan_in": taps * inputs, "fan_out": channels, "init": INIT,
                    "activation": "linear", "window": window})
        weight = self.parameter(f"{name}.weight", [taps * inputs, channels], 2.0 / math.sqrt(taps * inputs))
        weight = self.computed(ops[-1], name, weight, weight_norm)
        bias = self.parameter(f"{name}.bias", [channels], 0.3)
        kernel = weight.reshape(size[0], size[1], inputs, channels).permute(3, 2, 0, 1)
        y = functional.conv2d(x.permute(0, 3, 1, 2), kernel, bias, stride=stride, padding=tuple(padding))
        return self.keep(name, y.permute(0, 2, 3, 1))

    def activation(self, ops: list, name: str, x: Tensor, function: str) -> Tensor:
        ops.append({"name": name, "kind": "activation", "activation": function})
        return self.keep(name, {"relu": torch.relu, "tanh": torch.tanh, "gelu": functional.gelu}[function](x))

    def norm(self, ops: list, name: str, x: Tensor, kind: str, groups: int = 0) -> Tensor:
        features = x.shape[-1]
        op = {"name": name, "kind": "norm", "norm": kind, "features": features, "eps": 1e-5}
        if groups:
            op["groups"] = groups
        ops.append(op)
        gamma = self.parameter(f"{name}.gamma", [features], 0.3, 1.0)
        beta = self.parameter(f"{name}.beta", [features], 0.3) if kind != "rms" else None
        channels_second = x.reshape(x.shape[0], -1, features).permute(0, 2, 1)
        if kind == "batch":
            mean, variance = self.running.setdefault(name, (torch.zeros(features, dtype=x.dtype), torch.ones(features, dtype=x.dtype)))
            y = functional.batch_norm(channels_second, mean, variance, gamma, beta, self.training, 0.1, 1e-5)
        elif kind == "group":
            y = functional.group_norm(channels_second, groups, gamma, beta, 1e-5)
        elif kind == "layer":
            return self.keep(name, functional.layer_norm(x, [features], gamma, beta, 1e-5))
        else:
            return self.keep(name, functional.rms_norm(x, [features], gamma, 1e-5))
        return self.keep(name, y.permute(0, 2, 1).reshape(x.shape))

    def batch_renorm(self, ops: list, name: str, x: Tensor, ramp: int, batches: int) -> Tensor:
        """Ioffe 2017, with running averages that have followed `batches` of the `ramp` over which the bounds open."""
        features, eps = x.shape[-1], 1e-5
        ops.append({"name": name, "kind": "norm", "norm": "batch-renorm", "features": features, "eps": eps, "ramp": ramp})
        gamma, beta = self.parameter(f"{name}.gamma", [features], 0.3, 1.0), self.parameter(f"{name}.beta", [features], 0.3)
        if name not in self.running:
            mean = torch.tensor([round32(self.stream.symmetric()) for _ in range(features)], dtype=x.dtype)
            variance = torch.tensor([round32(math.exp(1.5 * self.stream.symmetric())) for _ in range(features)], dtype=x.dtype)
            self.running[name] = (mean, variance)
            self.before[name] = (mean.tolist(), variance.tolist(), batches)
        mean, variance = self.running[name]
        deviation = (variance + eps).sqrt()
        if not self.training:
            return (x - mean) / deviation * gamma + beta
        rows = x.reshape(-1, features)
        batch_mean, batch_variance = rows.mean(0), rows.var(0, unbiased=False)
        batch_deviation = (batch_variance + eps).sqrt()
        part = min(1.0, batches / ramp)
        r_max, d_max = 1.0 + 2.0 * part, 5.0 * part
        r = (batch_deviation / deviation).clamp(1.0 / r_max, r_max).detach()
        d = ((batch_mean - mean) / deviation).clamp(-d_max, d_max).detach()
        y = ((x - batch_mean) / batch_deviation * r + d) * gamma + beta
        unbiased = batch_variance * len(rows) / (len(rows) - 1)
        self.running[name] = (
            (mean + 0.1 * (batch_mean - mean)).detach(),
            (variance + 0.1 * (unbiased - variance)).detach(),
        )
        return self.keep(name, y)

    def pool(self, ops: list, name: str, x: Tensor, kind: str, size: int | None = None, stride: int = 1, padding: int = 0) -> Tensor:
        positions = math.prod(x.shape[1:-1])
        op = {"name": name, "kind": "pool", "pool": kind, "positions": positions}
        if size is None:
            y = x.reshape(x.shape[0], positions, -1)
            y = y[:, -1] if kind == "last" else y.mean(1) if kind == "average" else y.amax(1)
        else:
            grid = list(x.shape[1:3])
            op["window"] = {"grid": grid, "size": [size, size], "stride": [stride, stride], "padding": [padding, padding]}
            if kind == "max":
                y = functional.max_pool2d(x.permute(0, 3, 1, 2), size, stride, padding)
            else:
                y = functional.avg_pool2d(x.permute(0, 3, 1, 2), size, stride, padding, count_include_pad=False)
            y = y.permute(0, 2, 3, 1)
        ops.append(op)
        return self.keep(name, y)

    def flatten(self, ops: list, name: str, x: Tensor) -> Tensor:
        ops.append({"name": name, "kind": "flatten", "positions": math.prod(x.shape[1:-1])})
        return self.keep(name, x.reshape(x.shape[0], -1))

    def residual(self, ops: list, name: str, x: Tensor, branch, shortcut=None, scale: float = 1.0, per_channel: bool = False,
                 gated: bool = False, concatenates: bool = False) -> Tensor:
        inner: list = []
        skip: list = []
        y = branch(inner, x)
        s = shortcut(skip, x) if shortcut else x
        op = {"name": name, "kind": "residual", "branch": inner, "scale": scale, "learnable": False}
        if skip:
            op["shortcut"] = skip
        ops.append(op)
        if concatenates:
            op["concatenates"] = True
            return self.keep(name, torch.cat([x, y], dim=-1))
        if gated:
            op["gate"] = []
            open_ = torch.sigmoid(self.linear(op["gate"], f"{name}.gate", x, x.shape[-1]))
            return self.keep(name, (1 - open_) * x + open_ * y)
        if per_channel:
            op |= {"learnable": True, "channels": y.shape[-1]}
            y = self.parameter(f"{name}.scale", [y.shape[-1]], 0.5 * scale, scale) * y
        else:
            y = scale * y
        return self.keep(name, s + y)

    def embedding(self, ops: list, name: str, tokens: Tensor, vocabulary: int, features: int, positions: bool) -> Tensor:
        steps = tokens.shape[1]
        ops.append({"name": name, "kind": "embedding", "vocabulary": vocabulary, "features": features, "steps": steps,
                    "positions": positions, "init": INIT})
        y = self.parameter(f"{name}.weight", [vocabulary, features], 1.0)[tokens]
        if positions:
            y = y + self.parameter(f"{name}.position", [steps, features], 0.5)
        return self.keep(name, y)

    def qk_norm(self, ops: list, name: str, x: Tensor, heads: int) -> Tensor:
        features = x.shape[-1] // 3
        width = features // heads
        ops.append({"name": name, "kind": "qk-norm", "features": features, "heads": heads, "eps": 1e-5})
        q, k, v = x.split(features, dim=-1)
        gammas = [self.parameter(f"{name}.{part}_gamma", [width], 0.3, 1.0) for part in ("query", "key")]
        parts = [functional.rms_norm(part.unflatten(-1, (heads, width)), [width], gamma, 1e-5).flatten(-2)
                 for part, gamma in zip((q, k), gammas)]
        return self.keep(name, torch.cat([*parts, v], dim=-1))

    def attention(self, ops: list, name: str, x: Tensor, heads: int, causal: bool, rotary: bool, cap: float | None = None) -> Tensor:
        batch, steps, width = x.shape
        features = width // 3
        op = {"name": name, "kind": "attention", "features": features, "heads": heads, "steps": steps,
              "causal": causal, "rotary": rotary}
        ops.append(op)
        if cap:
            op["logit_cap"] = cap
        q, k, v = (part.reshape(batch, steps, heads, -1).transpose(1, 2) for part in x.split(features, dim=-1))
        if rotary:
            q, k = rotate(q), rotate(k)
        if cap:
            logits = cap * torch.tanh(q @ k.transpose(-1, -2) / math.sqrt(features // heads) / cap)
            hidden = torch.ones(steps, steps, dtype=torch.bool).triu(1) & causal
            y = torch.softmax(logits.masked_fill(hidden, -math.inf), dim=-1) @ v
        else:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.keep(name, y.transpose(1, 2).reshape(batch, steps, features))

    def recurrent(self, ops: list, name: str, x: Tensor, cell: str, units: int, function: str = "tanh",
                  orthogonal: bool = False, antisymmetric_step: float | None = None, diagonal: bool = False,
                  oscillator: dict[str, float] | None = None) -> Tensor:
        inputs, steps = x.shape[-1], x.shape[1]
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
        ops.append({"name": name, "kind": "recurrent", "cell": cell, "inputs": inputs, "units": units, "steps": steps,
                    "init": INIT, "hidden_init": INIT, "activation": function})
        scale = 1.5 / math.sqrt(units)
        weight = self.parameter(f"{name}.weight", [inputs, gates * units], scale)
        if diagonal:
            ops[-1]["diagonal"] = True
            bias = self.parameter(f"{name}.bias", [units], 0.3)
            kept = torch.exp(-torch.exp(self.parameter(f"{name}.log_decay", [units], 1.0, -1.0)))
            read = torch.sqrt(1.0 - kept**2) * getattr(torch, function)(x @ weight + bias)
            states = [torch.zeros(x.shape[0], units, dtype=x.dtype)]
            for step in read.unbind(1):
                states.append(kept * states[-1] + step)
            return self.keep(name, torch.stack(states[1:], dim=1))
        if oscillator:
            ops[-1]["oscillator"] = oscillator
            step, stiffness, damping = (oscillator[key] for key in ("step", "stiffness", "damping"))
            hidden, bias = self.parameter(f"{name}.hidden_weight", [2 * units, units], scale), self.parameter(f"{name}.bias", [units], 0.3)
            y, z = (torch.zeros(x.shape[0], units, dtype=x.dtype) for _ in range(2))
            positions = []
            for read in x.unbind(1):
                pushed = functional.linear(torch.cat([read, y, z], dim=1), torch.cat([weight, hidden]).T, bias)
                z = z + step * (getattr(torch, function)(pushed) - stiffness * y - damping * z)
                y = y + step * z
                positions.append(y)
            return self.keep(name, torch.stack(positions, dim=1))
        hidden = self.parameter(f"{name}.hidden_weight", [units, gates * units], scale)
        if orthogonal:
            ops[-1]["orthogonal"] = True
            hidden = torch.cat([nearest(block) for block in hidden.chunk(gates, dim=1)], dim=1)
        biases = [self.parameter(f"{name}.{bias}", [gates * units], 0.3) for bias in ("bias", "hidden_bias")]
        if antisymmetric_step is not None:
            ops[-1]["antisymmetric_step"] = antisymmetric_step
            turning = hidden - hidden.T - 0.01 * torch.eye(units, dtype=hidden.dtype)
            states = [torch.zeros(x.shape[0], units, dtype=x.dtype)]
            for step in x.unbind(1):
                z = step @ weight + states[-1] @ turning + sum(biases)
                states.append(states[-1] + antisymmetric_step * getattr(torch, function)(z))
            return self.keep(name, torch.stack(states[1:], dim=1))
        module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
        options = {"nonlinearity": function} if cell == "rnn" else {}
        layer = module(inputs, units, batch_first=True, dtype=torch.float64, **options)
        values = {"weight_ih_l0": weight.T, "weight_hh_l0": hidden.T, "bias_ih_l0": biases[0], "bias_hh_l0": biases[1]}
        return self.keep(name, torch.func.functional_call(layer, values, (x,))[0])

    def auxiliary_head(self, ops: list, name: str, x: Tensor, units: int, share: float) -> Tensor:
        head: list = []
        read = self.pool(head, f"{name}.mean", x, "average") if x.dim() > 2 else x
        self.auxiliary.append((share, self.linear(head, f"{name}.head", read, units)))
        ops.append({"name": name, "kind": "auxiliary-head", "head": head, "share": share})
        return self.keep(name, x.clone())

    def finish(self, x: Tensor, targets: Tensor, run) -> dict:
        """Runs it in training mode and, where that differs, in evaluation mode."""
        run(self.network["ops"], x)
        outputs = next(reversed(self.joints.values()))
        rows = outputs.reshape(-1, outputs.shape[-1])
        if self.loss == "cross-entropy":
            loss = functional.cross_entropy(rows, targets.reshape(-1))
        else:
            loss = functional.mse_loss(rows.reshape(-1), targets.reshape(-1))
        objective = loss
        for share, auxiliary in self.auxiliary:
            objective = objective + share * functional.cross_entropy(auxiliary, targets)
        objective.backward()
        case = {
            "network": self.network,
            "parameters": {name: value.detach().flatten().tolist() for name, value in self.parameters.items()},
            "inputs": x.double().flatten().tolist(),
            "samples": x.shape[0],
            "targets": targets.flatten().tolist(),
            "loss": loss.item(),
            "gradients": {name: value.grad.flatten().tolist() for name, value in self.parameters.items()},
            "activations": {name: value.detach().flatten().tolist() for name, value in self.joints.items()},
            "cotangents": {name: value.grad.flatten().tolist() for name, value in self.joints.items() if value.grad is not None},
        }
        if self.before:
            case["before"] = self.before
        if self.running:
            case["running"] = {name: [part.tolist() for part in parts] for name, parts in self.running.items()}
            self.training = False
            with torch.no_grad():
                case["evaluation"] = run([], x).flatten().tolist()
        return case


def round32(value: float) -> float:
    return torch.tensor(value, dtype=torch.float32).item()


def nearest(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns, or rows."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


def rotate(x: Tensor) -> Tensor:
    """Turns the first half of the features against the second by step * 10000^(-pair / pairs)."""
    pairs = x.shape[-1] // 2
    rates = 10_000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * rates
    a, b = x[..., :pairs], x[..., pairs:]
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)


def numbers(seed: int, shape: list[int]) -> Tensor:
    stream = Stream(seed)
    return torch.tensor([round32(2 * stream.symmetric()) for _ in range(math.prod(shape))], dtype=torch.float64).reshape(shape)


def classes(seed: int, shape: list[int], count: int) -> Tensor:
    stream = Stream(seed)
    return torch.tensor([int((stream.symmetric() + 1) / 2 * count) for _ in range(math.prod(shape))]).reshape(shape)


def convnet() -> dict:
    case = Case(1, [7, 6], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.convolution(ops, "conv1", x, 4, [3, 3], 1, [1, 1])
        x = case.activation(ops, "relu1", case.norm(ops, "norm1", x, "batch"), "relu")
        x = case.pool(ops, "pool1", x, "max", 2, 2)
        x = case.convolution(ops, "conv2", x, 5, [3, 2], 1, [1, 0])
        x = case.activation(ops, "gelu2", x, "gelu")
        x = case.pool(ops, "pool2", x, "average", 2, 1, 1)
        return case.linear(ops, "head", case.flatten(ops, "flatten", x), 3)

    return case.finish(numbers(2, [3, 7, 6, 2]), classes(3, [3], 3), run)


def resnet() -> dict:
    case = Case(4, [6, 6], 3, 4)

    def block(name: str, channels: int, stride: int, groups: int):
        def branch(ops: list, x: Tensor) -> Tensor:
            x = case.convolution(ops, f"{name}.conv1", x, channels, [3, 3], stride, [1, 1])
            x = case.activation(ops, f"{name}.relu", case.norm(ops, f"{name}.norm1", x, "batch"), "relu")
            x = case.convolution(ops, f"{name}.conv2", x, channels, [3, 3], 1, [1, 1])
            return case.norm(ops, f"{name}.norm2", x, "group", groups)

        def shortcut(ops: list, x: Tensor) -> Tensor:
            return case.convolution(ops, f"{name}.shortcut", x, channels, [1, 1], stride, [0, 0])

        return branch, shortcut

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.activation(ops, "relu1", case.convolution(ops, "conv1", x, 4, [3, 3], 1, [1, 1]), "relu")
        x = case.residual(ops, "block1", x, block("block1", 4, 1, 2)[0], scale=0.7)
        x = case.activation(ops, "relu2", x, "relu")
        x = case.residual(ops, "block2", x, *block("block2", 6, 2, 3))
        x = case.activation(ops, "relu3", x, "relu")
        return case.linear(ops, "head", case.pool(ops, "mean", x, "average"), 4)

    return case.finish(numbers(5, [3, 6, 6, 3]), classes(6, [3], 4), run)


def stacked(cell: str, function: str = "tanh", every: bool = False) -> dict:
    loss = "cross-entropy" if every else "mean-squared-error"
    outputs = 3 if every else 1
    case = Case(7, [6], 2, outputs, loss)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.recurrent(ops, f"{cell}1", x, cell, 5, function)
        x = case.recurrent(ops, f"{cell}2", x, cell, 4, function)
        if not every:
            x = case.pool(ops, "last", x, "last")
        return case.linear(ops, "head", x, outputs)

    targets = classes(9, [4, 6], 3) if every else numbers(9, [4, 1])
    return case.finish(numbers(8, [4, 6, 2]), targets, run)


def transformer(pre: bool, rotary: bool, tied: bool, qk_norm: bool = False, cap: float | None = None,
                sandwich: bool = False, sub: bool = False) -> dict:
    width, vocabulary = 8, 7
    case = Case(10, [5], 1, vocabulary)

    def attend(ops: list, name: str, x: Tensor) -> Tensor:
        x = case.linear(ops, f"{name}.qkv", x, 3 * width)
        if qk_norm:
            x = case.qk_norm(ops, f"{name}.qk_norm", x, 2)
        return case.attention(ops, f"{name}.attention", x, 2, True, rotary, cap)

    def feed(ops: list, name: str, x: Tensor) -> Tensor:
        return case.activation(ops, f"{name}.gelu", case.linear(ops, f"{name}.fc", x, 2 * width), "gelu")

    def branch(name: str, inner, norm: str | None):
        def run(ops: list, x: Tensor) -> Tensor:
            if norm:
                x = case.norm(ops, f"{name}.norm", x, norm)
            x = inner(ops, name, x)
            x = case.norm(ops, f"{name}.inner_norm", x, norm) if sub else x
            x = case.linear(ops, f"{name}.proj", x, width)
            return case.norm(ops, f"{name}.out_norm", x, norm) if sandwich else x

        return run

    def run(ops: list, tokens: Tensor) -> Tensor:
        x = case.embedding(ops, "embedding", tokens, vocabulary, width, not rotary)
        for block in (1, 2):
            inner = ("rms" if rotary else "layer") if pre else None
            x = case.residual(ops, f"block{block}.attention", x, branch(f"block{block}.attention", attend, inner))
            if not pre:
                x = case.norm(ops, f"block{block}.norm1", x, "layer")
            x = case.residual(ops, f"block{block}.mlp", x, branch(f"block{block}.mlp", feed, inner))
            if not pre:
                x = case.norm(ops, f"block{block}.norm2", x, "layer")
        return case.linear(ops, "head", x, vocabulary, tied="embedding" if tied else None)

    return case.finish(classes(11, [3, 5], vocabulary), classes(12, [3, 5], vocabulary), run)


def encoder(per_channel: bool = False, weight_norm: str | None = None) -> dict:
    case = Case(13, [5], 3, 4)

    def branch(ops: list, x: Tensor) -> Tensor:
        x = case.linear(ops, "block1.qkv", case.norm(ops, "block1.norm", x, "layer"), 18, weight_norm=weight_norm)
        x = case.attention(ops, "block1.attention", x, 3, False, False)
        return case.linear(ops, "block1.proj", x, 6, weight_norm=weight_norm)

    def run(ops: list, x: Tensor) -> Tensor:
        scale = 0.3 if per_channel else 1.0
        x = case.linear(ops, "fc_in", x, 6, weight_norm=weight_norm)
        x = case.residual(ops, "block1", x, branch, scale=scale, per_channel=per_channel)
        return case.linear(ops, "head", case.pool(ops, "mean", x, "average"), 4)

    return case.finish(numbers(14, [4, 5, 3]), classes(15, [4], 4), run)


def highway() -> dict:
    case = Case(46, [5], 3, 4)

    def block(name: str, function: str):
        def branch(ops: list, x: Tensor) -> Tensor:
            x = case.activation(ops, f"{name}.{function}", case.norm(ops, f"{name}.norm", x, "layer"), function)
            return case.linear(ops, f"{name}.fc", x, 6)

        return branch

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.linear(ops, "fc1", x, 6)
        x = case.residual(ops, "block2", x, block("block2", "relu"), gated=True)
        x = case.residual(ops, "block3", x, block("block3", "tanh"), gated=True)
        return case.linear(ops, "head", case.pool(ops, "mean", x, "average"), 4)

    return case.finish(numbers(47, [4, 5, 3]), classes(48, [4], 4), run)


def densenet() -> dict:
    case = Case(49, [5], 3, 4)

    def block(name: str, function: str, growth: int):
        def branch(ops: list, x: Tensor) -> Tensor:
            x = case.activation(ops, f"{name}.{function}", case.norm(ops, f"{name}.norm", x, "layer"), function)
            return case.linear(ops, f"{name}.fc", x, growth)

        return branch

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.linear(ops, "fc1", x, 5)
        x = case.residual(ops, "block2", x, block("block2", "relu", 3), concatenates=True)
        x = case.residual(ops, "block3", x, block("block3", "tanh", 2), concatenates=True)
        return case.linear(ops, "head", case.pool(ops, "mean", x, "average"), 4)

    return case.finish(numbers(50, [4, 5, 3]), classes(51, [4], 4), run)


def computed_weights() -> dict:
    case = Case(16, [6, 5], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.convolution(ops, "conv1", x, 4, [3, 3], 1, [1, 1], "standardised")
        x = case.convolution(ops, "conv2", case.activation(ops, "relu1", x, "relu"), 5, [3, 2], 2, [1, 0], "norm")
        x = case.flatten(ops, "flatten", case.activation(ops, "tanh2", x, "tanh"))
        x = case.activation(ops, "gelu3", case.linear(ops, "fc3", x, 8, weight_norm="standardised"), "gelu")
        x = case.activation(ops, "tanh4", case.linear(ops, "fc4", x, 7, weight_norm="norm"), "tanh")
        return case.linear(ops, "head", x, 3)

    return case.finish(numbers(17, [4, 6, 5, 2]), classes(18, [4], 3), run)


def spectral_weights() -> dict:
    case = Case(19, [5, 4], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.convolution(ops, "conv1", x, 6, [3, 3], 1, [1, 1], "spectral")
        x = case.flatten(ops, "flatten", case.activation(ops, "tanh1", x, "tanh"))
        x = case.activation(ops, "relu2", case.linear(ops, "fc2", x, 9, weight_norm="spectral"), "relu")
        return case.linear(ops, "head", x, 3)

    return case.finish(numbers(20, [4, 5, 4, 2]), classes(21, [4], 3), run)


def renormalised() -> dict:
    case = Case(31, [4, 5], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.convolution(ops, "conv1", x, 4, [3, 3], 1, [1, 1])
        x = case.activation(ops, "relu1", case.batch_renorm(ops, "norm1", x, 100, 30), "relu")
        x = case.linear(ops, "fc2", case.flatten(ops, "flatten", x), 7)
        x = case.activation(ops, "gelu2", case.batch_renorm(ops, "norm2", x, 20, 50), "gelu")
        return case.linear(ops, "head", x, 3)

    return case.finish(numbers(32, [5, 4, 5, 2]), classes(33, [5], 3), run)


def orthogonal_weights() -> dict:
    case = Case(22, [5, 4], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.convolution(ops, "conv1", x, 6, [3, 3], 1, [1, 1], "orthogonal")
        x = case.flatten(ops, "flatten", case.activation(ops, "tanh1", x, "tanh"))
        x = case.activation(ops, "relu2", case.linear(ops, "fc2", x, 9, weight_norm="orthogonal"), "relu")
        x = case.activation(ops, "gelu3", case.linear(ops, "fc3", x, 12, weight_norm="orthogonal"), "gelu")
        x = case.activation(ops, "tanh4", case.linear(ops, "fc4", x, 12, weight_norm="orthogonal"), "tanh")
        return case.linear(ops, "head", x, 3)

    return case.finish(numbers(23, [4, 5, 4, 2]), classes(24, [4], 3), run)


def orthogonal_recurrences() -> dict:
    case = Case(25, [6], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.recurrent(ops, "rnn1", x, "rnn", 5, orthogonal=True)
        x = case.recurrent(ops, "gru2", x, "gru", 4, orthogonal=True)
        return case.linear(ops, "head", case.pool(ops, "last", x, "last"), 3)

    return case.finish(numbers(26, [4, 6, 2]), classes(27, [4], 3), run)


def antisymmetric_recurrences() -> dict:
    case = Case(28, [6], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.recurrent(ops, "rnn1", x, "rnn", 5, antisymmetric_step=0.1)
        x = case.recurrent(ops, "rnn2", x, "rnn", 4, "sigmoid", antisymmetric_step=0.7)
        return case.linear(ops, "head", case.pool(ops, "last", x, "last"), 3)

    return case.finish(numbers(29, [4, 6, 2]), classes(30, [4], 3), run)


def diagonal_recurrences() -> dict:
    case = Case(31, [6], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.recurrent(ops, "rnn1", x, "rnn", 5, "relu", diagonal=True)
        x = case.recurrent(ops, "rnn2", x, "rnn", 4, "tanh", diagonal=True)
        return case.linear(ops, "head", case.pool(ops, "last", x, "last"), 3)

    return case.finish(numbers(32, [4, 6, 2]), classes(33, [4], 3), run)


def oscillators() -> dict:
    case = Case(34, [6], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.recurrent(ops, "rnn1", x, "rnn", 5, oscillator={"step": 0.4, "stiffness": 1.5, "damping": 0.5})
        x = case.recurrent(ops, "rnn2", x, "rnn", 4, "sigmoid", oscillator={"step": 0.7, "stiffness": 0.5, "damping": 1.2})
        return case.linear(ops, "head", case.pool(ops, "last", x, "last"), 3)

    return case.finish(numbers(35, [4, 6, 2]), classes(36, [4], 3), run)


def auxiliary_heads() -> dict:
    case = Case(34, [4, 5], 2, 3)

    def run(ops: list, x: Tensor) -> Tensor:
        x = case.activation(ops, "relu1", case.convolution(ops, "conv1", x, 4, [3, 3], 1, [1, 1]), "relu")
        x = case.flatten(ops, "flatten", case.auxiliary_head(ops, "aux1", x, 3, 0.3))
        x = case.activation(ops, "tanh2", case.linear(ops, "fc2", x, 7), "tanh")
        x = case.auxiliary_head(ops, "aux2", x, 3, 1.5)
        x = case.activation(ops, "gelu3", case.linear(ops, "fc3", x, 6), "gelu")
        return case.linear(ops, "head", x, 3)

    return case.finish(numbers(35, [4, 4, 5, 2]), classes(36, [4], 3), run)


CASES = {
    "antisymmetric_recurrences": antisymmetric_recurrences,
    "auxiliary_heads": auxiliary_heads,
    "batch_renorm": renormalised,
    "orthogonal_weights": orthogonal_weights,
    "orthogonal_recurrences": orthogonal_recurrences,
    "spectral_weights": spectral_weights,
    "computed_weights": computed_weights,
    "convnet": convnet,
    "densenet": densenet,
    "diagonal_recurrences": diagonal_recurrences,
    "oscillators": oscillators,
    "resnet": resnet,
    "rnn_tanh": lambda: stacked("rnn"),
    "rnn_relu_every": lambda: stacked("rnn", "relu", every=True),
    "lstm": lambda: stacked("lstm"),
    "gru_every": lambda: stacked("gru", every=True),
    "transformer_pre_tied": lambda: transformer(True, False, True),
    "transformer_post": lambda: transformer(False, False, False),
    "transformer_sandwich": lambda: transformer(True, False, False, sandwich=True),
    "transformer_sub": lambda: transformer(True, False, False, sub=True),
    "transformer_rotary_rms": lambda: transformer(True, True, False),
    "transformer_qk_norm": lambda: transformer(True, True, False, qk_norm=True),
    "transformer_capped": lambda: transformer(True, True, False, cap=0.7),
    "encoder": encoder,
    "highway": highway,
    "encoder_layer_scale": lambda: encoder(per_channel=True),
    "encoder_spectral": lambda: encoder(weight_norm="spectral"),
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in CASES.items():
        (folder / f"{name}.json").write_text(json.dumps(build()) + "\n")
        print(f"{name}.json")


if __name__ == "__main__":
    main()
