"""PyTorch's recurrent layers, step by step and layer by layer.

Each is one call, and autograd has no edge inside of it. The same recurrence is run again in double precision on the recorded
input, and the recorded cotangent is sent back through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from isogain.layout import is_same
from isogain.trace import Node

#: Slope below which a gate counts as saturated.
FLAT = 0.01

#: Deviation of the biases of the gate that keeps the state, from which on each unit is taken to keep for its own time
#: (chrono); PyTorch's default has 0.4 / sqrt(units).
OF_MANY_TIMES = 0.5


@dataclass
class Step:
    """One step of one direction: what the states' cotangents are asked at, and what the ways back are made of."""

    hidden: Tensor
    """The state, `[batch, units]`."""
    pre: Tensor
    """What the state before brings to the gates, `[batch, gates x units]`."""
    gates: list[Tensor]
    """The gates' values, in the weights' order."""
    cell: Tensor | None = None
    kept: Tensor | None = None
    """Share of the cell, or of the state, that is carried over."""


Recurrence = Callable[[Tensor, Tensor, "Tensor | None", Tensor, Tensor], Step]


def _plain(phi: Callable[[Tensor], Tensor]) -> Recurrence:
    def step(inputs: Tensor, hidden: Tensor, cell: Tensor | None, weight: Tensor, bias: Tensor) -> Step:
        pre = hidden @ weight.T + bias
        state = phi(inputs + pre)
        return Step(state, pre, [state])

    return step


def _lstm(inputs: Tensor, hidden: Tensor, cell: Tensor | None, weight: Tensor, bias: Tensor) -> Step:
    assert cell is not None, "an LSTM has a cell"
    pre = hidden @ weight.T + bias
    i, f, g, o = (inputs + pre).chunk(4, -1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cell = f * cell + i * g
    return Step(o * cell.tanh(), pre, [i, f, g, o], cell, f)


def _gru(inputs: Tensor, hidden: Tensor, cell: Tensor | None, weight: Tensor, bias: Tensor) -> Step:
    pre = hidden @ weight.T + bias
    (ri, zi, ni), (rh, zh, nh) = inputs.chunk(3, -1), pre.chunk(3, -1)
    r, z = (ri + rh).sigmoid(), (zi + zh).sigmoid()
    n = (ni + r * nh).tanh()
    return Step((1 - z) * n + z * hidden, pre, [r, z, n], kept=z)


@dataclass(frozen=True)
class Kind:
    """A kind of recurrent call."""

    cell: str
    step: Recurrence
    gates: tuple[str, ...]
    activation: str = "tanh"
    carries: str = ""
    """The way back that goes past the gates."""
    candidate: int | None = None
    keeps: int | None = None
    """The gate that decides how long the state lasts."""


KINDS = {
    "rnn_tanh": Kind("rnn", _plain(torch.tanh), ("state",), candidate=0),
    "rnn_relu": Kind("rnn", _plain(torch.relu), ("state",), "relu"),
    "lstm": Kind("lstm", _lstm, ("input", "forget", "candidate", "output"), carries="cell", candidate=2, keeps=1),
    "gru": Kind("gru", _gru, ("reset", "update", "candidate"), carries="carry", candidate=2, keeps=1),
}


@dataclass(frozen=True)
class Direction:
    """What one direction of a layer computes with, in double precision."""

    weights: list[Tensor]
    """Of the input `[gates x units, inputs]` and of the state `[gates x units, units]`, and the bias of each where there are some."""
    start: Tensor
    """The states before the first step, `[batch, states x units]`."""


@dataclass
class Layer:
    """One layer of a recurrent call, what came out and what came back. Both directions of a bidirectional one are side by
    side, each in the order of its own steps."""

    kind: Kind
    inputs: int
    units: int
    output: Tensor
    """`[steps, batch, directions x units]`."""
    cotangent: Tensor
    """dL/d(output)."""
    states: Tensor
    """dL/d(state) after each step, `[steps, ...]`; of an LSTM, h and c side by side."""
    paths: dict[str, Tensor]
    """What each way carries back from a step's state to the state before, `[steps, ...]` as the states."""
    gates: list[dict[str, Any]]
    forget_bias: float | str | None
    directions: list[Direction]
    passed_on: tuple[Tensor, Tensor] | None = None
    """What dropout leaves of the output for the next layer, and its cotangent."""


@dataclass
class _Run:
    """One direction of one layer."""

    weight: Tensor
    steps: list[Step] = field(default_factory=list)


def layers_of(node: Node) -> list[Layer] | None:
    """The layers of a recurrent call, the first one first.

    None for what is not one of PyTorch's recurrent calls, or one that this does not repeat: packed sequences, projections, and
    layers whose last states are read beside the sequence of the last one.
    """
    kind = KINDS.get(node.function)
    if kind is None or len(node.args) != 9 or not isinstance(node.args[3], bool) or node.gradient is None:
        return None
    inputs, initial, weights, has_bias, count, dropout, training, both_ways, batch_first = node.args
    each, ways = (4 if has_bias else 2), (2 if both_ways else 1)
    if len(weights) != each * count * ways or inputs.dim() != 3:
        return None
    masks = _Masks(node, float(dropout) if training and count > 1 else 0.0)
    double = [weight.detach().double() for weight in weights]
    first = initial if isinstance(initial, tuple | list) else (initial,)
    sequence = inputs.detach().double()
    sequence = sequence.transpose(0, 1) if batch_first else sequence
    runs: list[list[_Run]] = []
    directions: list[list[Direction]] = []
    outputs: list[Tensor] = []
    dropped: list[Tensor] = []
    with torch.enable_grad():
        for layer in range(count):
            runs.append([])
            directions.append([])
            for way in range(ways):
                at = layer * ways + way
                w_in, w_hidden, *biases = double[at * each : (at + 1) * each]
                b_in, b_hidden = biases if biases else (w_in.new_zeros(()), w_in.new_zeros(()))
                # The states before the first step are derived by as well.
                start = [part[at].detach().double().requires_grad_() for part in first]
                hidden, cell = start[0], start[1] if len(start) > 1 else None
                run = _Run(w_hidden)
                for x in (sequence.flip(0) if way else sequence) @ w_in.T + b_in:
                    step = kind.step(x, hidden, cell, w_hidden, b_hidden)
                    hidden, cell = step.hidden, step.cell
                    run.steps.append(step)
                runs[-1].append(run)
                directions[-1].append(Direction([w_in, w_hidden, *biases], torch.cat([part.detach() for part in start], -1)))
            ends = [torch.stack([step.hidden for step in run.steps]) for run in runs[-1]]
            outputs.append(torch.cat([end.flip(0) if way else end for way, end in enumerate(ends)], -1))
            if layer < count - 1:
                sequence = masks.dropped(outputs[-1])
                dropped.append(sequence)
        whole = _result(node, outputs, runs, batch_first)
        if whole is None or not bool(whole.isfinite().all()) or whole.shape != node.gradient.shape or not masks.fit(whole, node.value):
            return None
        asked = [*outputs, *dropped, *(tensor for layer in runs for run in layer for tensor in _tensors(run))]
        found = torch.autograd.grad(whole, asked, node.gradient.double(), allow_unused=True)
    given = {id(tensor): torch.zeros_like(tensor) if gradient is None else gradient for tensor, gradient in zip(asked, found, strict=True)}
    widths = [inputs.shape[-1], *(output.shape[-1] for output in outputs)]
    return [
        replace(
            _layer(kind, widths[at], output, runs[at], given, _forget_bias(kind, double, at * ways * each, has_bias)),
            directions=directions[at],
            passed_on=(dropped[at].detach(), given[id(dropped[at])]) if masks.fraction and at < count - 1 else None,
        )
        for at, output in enumerate(outputs)
    ]


def _result(node: Node, outputs: list[Tensor], runs: list[list[_Run]], batch_first: bool) -> Tensor | None:
    """What the call returned at the node's place: the sequence, the last states of all layers, or their last cells."""
    if node.place == 0:
        return outputs[-1].transpose(0, 1) if batch_first else outputs[-1]
    ways = len(runs[0])
    below = node.gradient[: -ways] if node.gradient is not None else None
    if below is not None and bool(below.any()):
        return None  # layers that are read past the layers above: no chain
    last = [run.steps[-1] for layer in runs for run in layer]
    parts = [step.hidden if node.place == 1 else step.cell for step in last]
    return torch.stack([part for part in parts if part is not None])


class _Masks:
    """Dropout between layers, drawn again from the generator's state before the call."""

    def __init__(self, node: Node, fraction: float) -> None:
        self.fraction = fraction
        self._state = node.generator

    def dropped(self, output: Tensor) -> Tensor:
        if self.fraction == 0.0 or self._state is None:
            return output
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._state)
            mask = torch.nn.functional.dropout(torch.ones(output.shape), self.fraction)
            self._state = torch.get_rng_state()
        return output * mask

    def fit(self, repeated: Tensor, recorded: Tensor) -> bool:
        """Whether the masks were those of the call; another device or library draws others."""
        if self.fraction == 0.0:
            return True
        apart = torch.linalg.vector_norm(repeated.detach() - recorded.double())
        return bool(apart <= 0.01 * torch.linalg.vector_norm(recorded.double()))


def _tensors(run: _Run) -> list[Tensor]:
    cells = [step.cell for step in run.steps if step.cell is not None]
    return [*(step.hidden for step in run.steps), *cells, *(step.pre for step in run.steps)]


def _layer(
    kind: Kind, inputs: int, output: Tensor, runs: list[_Run], given: dict[int, Tensor], forget_bias: float | str | None
) -> Layer:
    states: list[Tensor] = []
    paths: dict[str, list[Tensor]] = {}
    for run in runs:
        steps = run.steps
        hidden = torch.stack([given[id(step.hidden)] for step in steps])
        none = hidden.new_zeros(hidden.shape) if kind.cell == "lstm" else hidden[..., :0]
        cells = torch.stack([given[id(step.cell)] for step in steps]) if kind.cell == "lstm" else none
        states.append(torch.cat([hidden, cells], -1))
        through = torch.stack([given[id(step.pre)] for step in steps])
        for gate, delta, weight in zip(kind.gates, through.chunk(len(kind.gates), -1), run.weight.chunk(len(kind.gates)), strict=True):
            paths.setdefault(gate, []).append(torch.cat([delta @ weight, none], -1))
        if kind.carries:
            kept = torch.stack([step.kept for step in steps if step.kept is not None])
            carried = [torch.zeros_like(hidden), kept * cells] if kind.cell == "lstm" else [kept * hidden]
            paths.setdefault(kind.carries, []).append(torch.cat(carried, -1))
    together: Callable[[Sequence[Tensor]], Tensor] = lambda parts: torch.cat([part.detach().flatten(1) for part in parts], -1)
    values = [[step.gates[at].detach() for run in runs for step in run.steps] for at in range(len(kind.gates))]
    return Layer(
        kind=kind,
        inputs=inputs,
        units=runs[0].weight.shape[1],
        output=output.detach(),
        cotangent=given[id(output)].detach(),
        states=together(states),
        paths={name: together(parts) for name, parts in paths.items()},
        gates=[_gate(kind, at, torch.stack(parts)) for at, parts in enumerate(values)],
        forget_bias=forget_bias,
        directions=[],
    )


def takes_last_layer(call: Node, node: Node) -> bool:
    """Whether a node is the last layer's state, of the last states of all layers that a recurrent call gives."""
    if call.function not in KINDS or call.place != 1 or node.inputs != [call] or node.function not in ("getitem", "select"):
        return False
    return is_same(node.value, call.value[-1])


def reads_steps_first(node: Node) -> bool:
    """Whether a recurrent call reads `[steps, batch, inputs]`."""
    return node.args[-1] is False


def _gate(kind: Kind, at: int, value: Tensor) -> dict[str, Any]:
    """Mean value of a gate, of the candidate or state its mean magnitude, and how much of it is flat."""
    if kind.activation == "relu":
        slope = (value > 0).double()
    else:
        slope = 1 - value.square() if at == kind.candidate else value * (1 - value)
    flat = float((slope < FLAT).double().mean())
    return {"gate": kind.gates[at], "mean": float(value.abs().mean()), "saturated_fraction": flat}


def _forget_bias(kind: Kind, weights: list[Tensor], at: int, has_bias: bool) -> float | str | None:
    if kind.keeps is None or not has_bias:
        return None
    bias = (weights[at + 2] + weights[at + 3]).chunk(len(kind.gates))[kind.keeps]
    spread = float(bias.std(correction=0))
    return "chrono" if spread > OF_MANY_TIMES else float(bias.mean())
