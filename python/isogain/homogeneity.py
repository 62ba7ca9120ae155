"""Whether what lies between two joints passes a scale on, f(c x) = c f(x) for c > 0: between such joints gradients keep an exact
law. It is read from the calls that the values went through, gradients or not: a piece that is detached changes no value."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from isogain.trace import Node

#: Calls that move numbers without changing them; their cotangents are the same numbers in another order.
SHAPE_ONLY = frozenset({
    "view", "reshape", "flatten", "squeeze", "unsqueeze", "transpose", "permute", "contiguous", "clone", "getitem",
    "unflatten", "t", "T", "mT", "movedim", "swapaxes", "to", "float", "type_as", "view_as", "reshape_as", "identity",
    "ravel", "movedim", "moveaxis", "swapdims", "narrow", "select", "expand", "expand_as", "broadcast_to", "input",
    "dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
})  # fmt: skip

#: Calls that give c times as much where they get c times as much. Alpha dropout adds something.
_KEEPING = SHAPE_ONLY - {"input", "alpha_dropout"} | {
    "relu", "leaky_relu", "abs", "neg", "detach", "cat", "stack", "chunk", "split", "unbind", "roll", "flip", "repeat",
    "repeat_interleave", "half", "bfloat16", "double", "mean", "sum", "amax", "amin", "max_pool1d", "max_pool2d", "max_pool3d",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate", "pixel_shuffle", "pixel_unshuffle",
}  # fmt: skip

#: Comparisons, which do not depend on the scale where they are with zero.
_COMPARING = frozenset({"gt", "ge", "lt", "le"})

#: How many values of each sign say what a function does that nobody saw, and over which range at least.
_VALUES, _RANGE = 8, 2.0


def passes_scale_on(before: Node, after: Node) -> bool:
    """Whether `after` is c times as large where `before` is."""
    known: dict[int, int | None] = {before.index: 1}
    for node in _between(before, after):
        known[node.index] = _degree_of_call(node, [known.get(given.index) for given in node.inputs])
    return known.get(after.index) == 1


def _between(before: Node, after: Node) -> list[Node]:
    """What `after` is made of since `before`, in order. On what is older the same layers may act, so that nothing is known of it."""
    found: dict[int, Node] = {}
    waiting = [after]
    while waiting:
        node = waiting.pop()
        if node.index > before.index and node.index not in found:
            found[node.index] = node
            waiting += node.inputs
    return [found[index] for index in sorted(found)]


def _degree_of_call(node: Node, degrees: list[int | None]) -> int | None:
    """The power of c in what a call gives, from those in what it reads; None where there is none, or none is known."""
    if not degrees or None in degrees:
        return None
    if node.is_unseen:
        return degrees[0] if len(degrees) == 1 and _is_homogeneous(node.inputs[0].value, node.value) else None
    of = {id(given.tensor): degree for given, degree in zip(node.inputs, degrees, strict=True)}
    operands = [leaf for leaf in tree_leaves(node.args) if isinstance(leaf, Tensor | float | int) and not isinstance(leaf, bool)]
    if not of.keys() <= {id(leaf) for leaf in tree_leaves((node.args, node.kwargs))}:
        return None  # one that a hook passed on under another name
    alike = degrees[0] if len(set(degrees)) == 1 else None
    first, second = (*operands, None, None)[:2]
    match node.function:
        case "mul":
            return sum(of.get(id(operand)) or 0 for operand in operands)
        case "prelu":
            return alike
        case "div" | "truediv" if node.kwargs.get("rounding_mode") is None:
            return (of.get(id(first)) or 0) - (of.get(id(second)) or 0)
        case "add" | "sub":
            return alike if id(first) in of and id(second) in of else None
        case "clamp" | "clip" if _is_zero(node.argument("min", 1)) and node.argument("max", 2) is None:
            return alike
        case function if function in _COMPARING:
            both = id(first) in of and id(second) in of
            return 0 if alike is not None and (both or _is_zero(second)) else None
        case "pad" if node.argument("mode", 2, "constant") != "constant" or not node.argument("value", 3):
            return alike
        case function if function in _KEEPING:
            return alike if all(id(leaf) in of or _says_nothing(leaf) for leaf in _tensors(node)) else None
    return None


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and value == 0


def _says_nothing(tensor: Tensor) -> bool:
    """An index or a mask, or nothing, as the cache of keys is at first."""
    return not tensor.is_floating_point() or tensor.numel() == 0


def _tensors(node: Node) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves((node.args, node.kwargs)) if isinstance(leaf, Tensor))


def _is_homogeneous(given: Tensor, made: Tensor) -> bool:
    """Whether a function that nobody saw the inside of does this on the values that it got: one number times each that is above
    zero, and one times each below."""
    if given.shape != made.shape or not given.is_floating_point() or not bool(made.isfinite().all()):
        return False
    x, y = given.detach().double().flatten(), made.detach().double().flatten()
    rounding = 8 * torch.finfo(made.dtype).eps
    if bool((y[x == 0] != 0).any()):
        return False
    sides = [side for side in (x > 0, x < 0) if bool(side.any())]
    for side in sides:
        values, results = x[side], y[side]
        if len(values) < _VALUES or values.abs().max() < _RANGE * values.abs().min():
            return False
        slope = values @ results / (values @ values)
        if bool(((results - slope * values).abs() > rounding * max(1.0, float(slope.abs())) * values.abs()).any()):
            return False
    return bool(sides)
