"""What a custom `autograd.Function` multiplies by, told from its values: its calls are not seen, but which parameters it has is.

Only what it does forward is asked. Whether its backward pass is the derivative of that is another question, and the reason to ask.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def product(made: Tensor, given: Tensor) -> tuple[str, tuple[Any, ...]] | None:
    """The call that would have made the tensor out of the given one: `linear` for x W^T + b, `addmm` for x W + b, `matmul` for x W,
    with its arguments; None where it is none of them."""
    parameters = _parameters(made)
    weights = [parameter for parameter in parameters if parameter.dim() == 2]
    biases: list[Tensor | None] = [parameter for parameter in parameters if parameter.dim() == 1]
    if len(weights) != 1 or len(biases) > 1 or len(parameters) != 1 + len(biases) or not given.dim():
        return None
    weight, bias = weights[0], (biases or [None])[0]
    with torch.no_grad():
        for turned, call in ((weight, ("linear", (given, weight, bias))), (weight.T, _call(given, weight, bias))):
            if turned.shape[-1] != given.shape[-1] or not weight.dtype == given.dtype == made.dtype:
                continue
            expected = F.linear(given, turned, bias)
            # Each value is a sum with as many roundings as it has terms.
            rounding = 8 * weight.shape[-1] ** 0.5 * torch.finfo(made.dtype).eps
            if expected.shape == made.shape and bool((expected - made).abs().max() <= rounding * expected.abs().max()):
                return call
    return None


def _call(given: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[str, tuple[Any, ...]]:
    return ("matmul", (given, weight)) if bias is None else ("addmm", (bias, given, weight))


def _parameters(made: Tensor) -> list[Tensor]:
    """The leaves that the last function on the way to a tensor was given."""
    if made.grad_fn is None:
        return []
    leaves = (getattr(function, "variable", None) for function, _ in made.grad_fn.next_functions)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]
