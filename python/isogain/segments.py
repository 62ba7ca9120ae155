"""Where a trace parts into operations: the tensors that everything later depends on, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from isogain.homogeneity import SHAPE_ONLY
from isogain.trace import Node


def cuts(nodes: Sequence[Node], source: Node | None = None) -> list[Node]:
    """The tensors that everything later depends on through nothing else, in order."""
    last_use: dict[int, int] = {}
    for node in nodes:
        for read in node.inputs:
            last_use[read.index] = node.index
    members = {node.index for node in nodes}
    live: set[int] = set()
    if source is not None and source.index in last_use:
        live.add(source.index)
    found = []
    for node in nodes:
        live = {index for index in live if last_use.get(index, -1) > node.index}
        if not live:
            found.append(node)
        if last_use.get(node.index, -1) > node.index and node.index in members:
            live.add(node.index)
    return found


def is_shape_only(before: Node, after: Node) -> bool:
    same = before.value.numel() == after.value.numel() and before.value.dtype == after.value.dtype
    if "dropout" in after.function and same:
        return bool(torch.equal(before.value, after.value))
    return same and after.function in SHAPE_ONLY


def residual(before: Node, after: Node) -> Node | None:
    """F(x) in `x + F(x)`."""
    if after.function != "add" or len(after.inputs) != 2 or float(after.kwargs.get("alpha", 1)) != 1.0:
        return None
    others = [node for node in after.inputs if node is not before]
    if len(others) == 1 and others[0].value.shape == before.value.shape == after.value.shape:
        return others[0]
    return None


def sides(before: Node, after: Node, segment: Sequence[Node]) -> list[list[Node]] | None:
    """What a call with two operands makes of a joint for each of them, where they have nothing else in common."""
    sides = [behind(end, before, segment) for end in after.inputs]
    if len(sides) != 2 or not all(sides) or {node.index for node in sides[0]} & {node.index for node in sides[1]}:
        return None
    return sides


def behind(end: Node, before: Node, segment: Sequence[Node]) -> list[Node]:
    """What lies between a joint and one of the tensors made of it, that tensor last; empty where it is not made of it alone."""
    members = {node.index: node for node in segment}
    found: dict[int, Node] = {}
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is before or node.index in found:
            continue
        if node.index not in members:
            continue
        found[node.index] = node
        waiting += node.inputs
    return [found[index] for index in sorted(found)]


def tensors_of(node: Node) -> list[Tensor]:
    return [leaf for leaf in tree_leaves((node.args, node.kwargs)) if isinstance(leaf, Tensor)]


def common_path(paths: Any) -> str:
    """Longest path that all of these lie in."""
    found: list[str] | None = None
    for path in paths:
        parts = path.split(".") if path else []
        if found is None:
            found = parts
        else:
            length = next((i for i, (a, b) in enumerate(zip(found, parts, strict=False)) if a != b), min(len(found), len(parts)))
            found = found[:length]
    return ".".join(found or [])


def main_call(segment: Sequence[Node]) -> str:
    """The call that says most of what a segment does."""
    telling: Callable[[Node], bool] = lambda node: node.function not in SHAPE_ONLY and node.function not in ("add", "mul")
    names = [node.function for node in segment if telling(node)]
    for known in ("scaled_dot_product_attention", "softmax", "cat"):
        if known in names:
            return {"softmax": "attention", "scaled_dot_product_attention": "attention"}.get(known, known)
    return names[-1] if names else segment[-1].function
