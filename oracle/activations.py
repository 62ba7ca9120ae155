"""The activations as PyTorch computes them, and their table of values and derivatives.

At a kink the derivative is PyTorch's subgradient: relu'(0) = 0, leaky-relu'(0) = 0.01, prelu'(0) = 0.25, elu'(0) = 1,
selu'(0) = 1.7580993408473766 (scale * alpha), hard-tanh'(-1) = hard-tanh'(1) = 0.
"""

import torch
import torch.nn.functional as F

from kernel_shaping import shaped

# Of 30 layers.
SLOPE = 1.01360725089342

FUNCTIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky-relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,  # the exact one, by erf
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hard-tanh": F.hardtanh,
    # The numbers at the end are where the solution is looked for.
    "shaped-gelu": shaped(F.gelu, SLOPE, [0.16, 0.26]),
    "shaped-sigmoid": shaped(torch.sigmoid, SLOPE, [0.33, 1.17]),
    "shaped-silu": shaped(F.silu, SLOPE, [0.24, 0.35]),
    "shaped-softplus": shaped(F.softplus, SLOPE, [0.43, 0.41]),
    "shaped-tanh": shaped(torch.tanh, SLOPE, [0.17, 0.58]),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype)),
}


def points():
    """41 points from -6 to 6 in steps of 0.3, and the kinks of hard-tanh."""
    return sorted([k * 0.3 for k in range(-20, 21)] + [-1.0, 1.0])


def table():
    """{case, points, activations: {name: {values, derivatives}}}, float64."""
    activations = {}
    for name, function in FUNCTIONS.items():
        x = torch.tensor(points(), dtype=torch.float64, requires_grad=True)
        y = function(x)
        (derivative,) = torch.autograd.grad(y.sum(), x)
        activations[name] = {"values": y.tolist(), "derivatives": derivative.tolist()}
    return {"case": "activations", "torch_version": torch.__version__, "points": points(), "activations": activations}
