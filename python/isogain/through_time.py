"""The gradient of a recurrent layer's state at each time step.

PyTorch's recurrent layers are one call, and autograd has no edge inside of it. The same recurrence is run again step by step
in double precision on the recorded input, and the recorded cotangent is sent back through it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from isogain.trace import Node

Step = Callable[[Tensor, Tensor, tuple[Tensor, ...], Tensor, Tensor], tuple[Tensor, ...]]


def _plain(phi: Callable[[Tensor], Tensor]) -> Step:
    def step(inputs: Tensor, hidden: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        return (phi(inputs + hidden @ weight.T + bias),)

    return step


def _lstm(inputs: Tensor, hidden: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    i, f, g, o = (inputs + hidden @ weight.T + bias).chunk(4, -1)
    cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _gru(inputs: Tensor, hidden: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    (ri, zi, ni), (rh, zh, nh) = inputs.chunk(3, -1), (hidden @ weight.T + bias).chunk(3, -1)
    z = (zi + zh).sigmoid()
    return ((1 - z) * (ni + (ri + rh).sigmoid() * nh).tanh() + z * hidden,)


STEPS: dict[str, Step] = {"rnn_tanh": _plain(torch.tanh), "rnn_relu": _plain(torch.relu), "lstm": _lstm, "gru": _gru}


def state_gradients(node: Node) -> Tensor | None:
    """dL/dh of the top layer after each time step, `[steps, batch, hidden]`, double precision.

    None for what is not one of PyTorch's recurrent calls, or one that this does not repeat (bidirectional, packed sequences,
    projections, or dropout between layers).
    """
    step = STEPS.get(node.function)
    if step is None or len(node.args) != 9 or not isinstance(node.args[3], bool) or node.gradient is None:
        return None
    inputs, initial, weights, has_bias, layers, dropout, training, bidirectional, batch_first = node.args
    per_layer = 4 if has_bias else 2
    if bidirectional or (dropout and training and layers > 1) or len(weights) != per_layer * layers or inputs.dim() != 3:
        return None
    double = [weight.detach().double() for weight in weights]
    first = initial if isinstance(initial, tuple | list) else (initial,)
    sequence = inputs.detach().double()
    sequence = sequence.transpose(0, 1) if batch_first else sequence
    hidden: list[Tensor] = []
    with torch.enable_grad():
        for layer in range(layers):
            w_in, w_hidden, *biases = double[layer * per_layer : (layer + 1) * per_layer]
            b_in, b_hidden = biases if biases else (w_in.new_zeros(()), w_in.new_zeros(()))
            state = tuple(part[layer].detach().double() for part in first)
            hidden = []
            for x in sequence @ w_in.T + b_in:
                if not hidden and layer == layers - 1:
                    state = tuple(part.requires_grad_() for part in state)
                state = step(x, state[0], state, w_hidden, b_hidden)
                hidden.append(state[0])
            sequence = torch.stack(hidden)
        cotangent = node.gradient.double()
        cotangent = cotangent.transpose(0, 1) if batch_first else cotangent
        if cotangent.shape != sequence.shape:
            return None
        return torch.stack(torch.autograd.grad(sequence, hidden, cotangent))
