"""Which positions of its input a call on a grid reads, as the core tells it; a sequence is a grid of height 1."""

from __future__ import annotations

from typing import Any

from isogain import layout
from isogain.trace import Node

Window = dict[str, list[int]]


def convolution(node: Node) -> Window | None:
    """The patches of `conv1d` or `conv2d`."""
    axes = {"conv1d": 1, "conv2d": 2}.get(node.function)
    if axes is None:
        return None
    size, dilation = list(node.argument("weight", 1).shape[2:]), _numbers(node.argument("dilation", 5, 1), axes)
    padding = node.argument("padding", 4, 0)
    if padding == "same":
        # Of an odd sum more is added on one side.
        sums = [(taps - 1) * step for taps, step in zip(size, dilation)]
        padding = None if any(added % 2 for added in sums) else [added // 2 for added in sums]
    elif padding == "valid":
        padding = 0
    return None if padding is None else _window(node, axes, size, node.argument("stride", 3, 1), padding, dilation)


_POOLS = {f"{name}_pool{axes}d": (kind, axes) for name, kind in (("max", "max"), ("avg", "average")) for axes in (1, 2)}


def pool(node: Node) -> dict[str, Any] | None:
    """What stands for which patches, of a call on `[batch, channels, positions]`; None for another call, and where patches are cut or
    of several sizes."""
    given = node.inputs[0].value if len(node.inputs) == 1 else None
    kind, axes = _POOLS.get(node.function.removeprefix("adaptive_"), (None, 0))
    if given is not None and node.function == "mean" and _is_over_all_positions(node):
        kind, window = "average", None
    elif given is None or kind is None or given.dim() != axes + 2:
        return None
    elif node.function.startswith("adaptive"):
        if node.value.shape[2:].numel() != 1:
            return None
        window = None
    else:
        size = _numbers(node.argument("kernel_size", 1), axes)
        stride, padding = node.argument("stride", 2), node.argument("padding", 3, 0)
        is_average = kind == "average"
        ceil, dilation = node.argument("ceil_mode", 4 if is_average else 5, False), 1 if is_average else node.argument("dilation", 4, 1)
        # Zeros that are added count in a mean.
        counted = is_average and (any(_numbers(padding, axes)) or node.argument("divisor_override", 6) is not None)
        if counted or ceil:
            return None
        window = _window(node, axes, size, stride or size, padding, dilation)
        if window is None:
            return None
    return {"pool": kind, "positions": given.shape[2:].numel()} | ({} if window is None else {"window": window})


def pool_of_steps(node: Node, axis: int) -> dict[str, Any] | None:
    """The same of `[batch, steps, features]`, or of steps first: the mean over the steps along `axis`, the first or the last of them."""
    given = node.inputs[0].value if len(node.inputs) == 1 else None
    if given is None or given.dim() != 3 or not given.shape[axis] or node.value.shape != given.select(axis, 0).shape:
        return None
    steps = given.shape[axis]
    match node.function, node.args[1:]:
        case "mean", _ if node.argument("dim", 1) in (axis, axis - 3, (axis,), [axis]):
            return {"pool": "average", "positions": steps}
        case (
            ("getitem", [(slice(start=None, stop=None, step=None), int(at), *_)])
            | ("getitem", [int(at)])
            | ("getitem", [(int(at), *_)])
            | ("select", [_, int(at)])
        ) if layout.is_same(node.value, given.select(axis, at)):
            if at % steps == steps - 1:
                return {"pool": "last", "positions": steps}
            if at % steps == 0:
                alone = {"size": [1, 1], "stride": [1, steps], "padding": [0, 0], "grid": [1, steps]}
                return {"pool": "average", "positions": steps, "window": alone}
    return None


def _is_over_all_positions(node: Node) -> bool:
    shape = node.inputs[0].value.shape
    over = node.argument("dim", 1)
    axes = {axis % len(shape) for axis in ([over] if isinstance(over, int) else over or [])}
    return len(shape) > 2 and axes == set(range(2, len(shape)))


def _window(node: Node, axes: int, size: list[int], stride: Any, padding: Any, dilation: Any) -> Window | None:
    shape = node.inputs[0].value.shape
    if len(node.inputs) != 1 or len(shape) != axes + 2:
        return None
    given = {"stride": stride, "padding": padding, "dilation": dilation}
    fields = {name: _numbers(numbers, axes) for name, numbers in given.items()} | {"size": size, "grid": list(shape[2:])}
    of_one_row = {"size": 1, "stride": 1, "padding": 0, "dilation": 1, "grid": 1}
    return {name: [of_one_row[name]] * (2 - axes) + numbers for name, numbers in fields.items()}


def _numbers(given: Any, axes: int) -> list[int]:
    numbers = [int(number) for number in given] if isinstance(given, (tuple, list)) else [int(given)]
    return numbers * axes if len(numbers) == 1 else numbers
