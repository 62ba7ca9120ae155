"""Softmax attention among the recorded calls: which part goes back through queries, keys and values, and how it spreads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from isogain import layout
from isogain.homogeneity import SHAPE_ONLY, passes_scale_on
from isogain.trace import Node

#: Calls that multiply two tensors of the batch.
PRODUCTS = frozenset({"matmul", "bmm", "baddbmm", "einsum"})

#: A logit below this is a mask: -inf, the smallest number of a format, or -10,000.
MASKED = -9e3

#: Most logits that are computed again to say how attention spreads; of larger batches the first samples do.
MOST_LOGITS = 2**24

#: Most logits that are computed again to see whether an attention is what it seems to be.
MOST_COMPARED = 2**20

#: How far energies may be from adding up, relative.
ROUNDING = 1e-3

#: Relative distance up to which two results are the same but for rounding, that of bfloat16 included.
SAME = 0.02


#: The tensors between two joints that a call reads.
Reads = Callable[[Node], list[Node]]


@dataclass(frozen=True)
class Attention:
    """An attention between two joints."""

    core: Node
    """The call that gives the mixed values."""
    roots: tuple[Node, Node, Node]
    """Queries, keys and values where they part: three projections of the joint before, or three parts of it."""
    ends: tuple[Node, Node, Node]
    """What the attention itself gets of each."""
    are_projections: bool
    logits: Node | None
    """What the softmax is taken of, where that is a call of its own."""
    dropout: Node | None = None
    """What drops weights behind the softmax, where that is a call of its own."""
    steps_first: tuple[int, int] | None = None
    """Steps and samples, where positions come step by step."""

    @cached_property
    def features(self) -> list[int]:
        """Features of queries, keys and values at each position."""
        return [self.by_sample(root.value).shape[-1] for root in self.roots]

    @property
    def rows(self) -> int:
        """Positions of all samples."""
        return self.roots[0].value.numel() // max(self.features[0], 1)

    def side_by_side(self, gradient: bool) -> Tensor:
        """Queries, keys and values, or their cotangents, `[rows, features]`."""
        parts = [root.gradient if gradient else root.value for root in self.roots]
        return torch.cat([self.by_sample(part).reshape(self.rows, -1) for part in parts if part is not None], -1)

    def by_sample(self, part: Tensor) -> Tensor:
        """What a position carries, all its heads and all positions of a sample together."""
        if part.dim() == 4:
            return layout.joined(part)
        return part if self.steps_first is None else layout.by_sample(part, self.steps_first)

    def given(self, tensor: Tensor) -> Tensor:
        """What it gives, or the cotangent of that, with the heads of a position side by side where it is known that they are apart."""
        heads = self.apart(tensor)
        return layout.joined(heads) if heads is not None and (self.plain is not None or self._are_values_apart()) else tensor

    def begins_with_steps(self) -> tuple[int, int] | None:
        """Steps and samples, where values come step by step although nobody put them in that order: the model's input has it."""
        value, end = self.roots[2].value, self.apart(self.ends[2].value)
        if self.steps_first is not None or end is None or value.dim() != 3 or value.shape[0] == 1:
            return None
        return layout.steps_first(layout.joined(end), value, None)

    def _are_values_apart(self) -> bool:
        value, end = self.by_sample(self.roots[2].value), self.apart(self.ends[2].value)
        if end is None or end.numel() != value.numel():
            return False
        return layout.is_same(layout.joined(end).reshape(value.shape), value)

    @cached_property
    def plain(self) -> dict[str, Any] | None:
        """See `_plain`."""
        return _plain(self)

    @property
    def is_dropping(self) -> bool:
        """Whether dropout has changed the weights."""
        if self.dropout is not None:
            return not layout.is_same(self.dropout.value, self.dropout.inputs[0].value)
        return self.core.function == "scaled_dot_product_attention" and float(self.core.argument("dropout_p", 4, 0.0)) > 0

    @cached_property
    def dropped(self) -> Tensor | None:
        """What dropout multiplied each weight with, `[samples, heads, steps, steps]`; None where it did nothing, or nobody can say."""
        if not self.is_dropping or self.core.value.numel() * self.core.value.shape[-2] > MOST_LOGITS * self.core.value.shape[-1]:
            return None
        kept, weights = (self.dropout.value, self.dropout.inputs[0].value) if self.dropout is not None else _drawn_again(self.core)
        mask = torch.where(weights > 0, kept.detach() / weights.detach(), 0.0)
        return self.apart_in(mask, self.core.value.shape[-1])

    def apart(self, tensor: Tensor) -> Tensor | None:
        """`[samples, heads, positions, features]` of that, or of what has samples times heads first; None of anything else."""
        return self.apart_in(tensor, tensor.shape[-1])

    def apart_in(self, tensor: Tensor, width: int) -> Tensor | None:
        """The same of what has something else than the `width` features of a head at its end."""
        features = self.features[2]
        heads = features // width if width and features % width == 0 else 0
        if tensor.dim() == 3 and heads and len(tensor) % heads == 0:
            return tensor.reshape(len(tensor) // heads, heads, *tensor.shape[1:])
        return tensor if tensor.dim() == 4 else None


def find(before: Node, after: Node, segment: list[Node], projects: Callable[[Node], bool]) -> Attention | None:
    """The attention that lies between two joints; None where it is something else. `projects(node)` says whether a call
    multiplies by weights."""
    members = {node.index: node for node in segment}
    reads: Reads = lambda node: [given for given in node.inputs if given.index in members]
    core = after
    logits: Node | None = None
    dropout: Node | None = None
    if core.function == "scaled_dot_product_attention":
        ends = reads(core)
    elif core.function in PRODUCTS and len(reads(core)) == 2:
        weights, values = reads(core)
        logits, product = _behind_softmax(weights, reads)
        dropout = weights if weights.function == "dropout" else None
        ends = [*reads(product), values] if product is not None else []
    else:
        return None
    if len(ends) != 3:
        return None
    behind = [_ancestors(end, members) for end in ends]
    if behind[0].keys() & behind[1].keys() or behind[0].keys() & behind[2].keys() or behind[1].keys() & behind[2].keys():
        return None
    readers = [[node for node in part.values() if before in node.inputs] for part in behind]
    if any(len(reader) != 1 for reader in readers):
        return None
    query, key, value = (reader[0] for reader in readers)
    roots = (query, key, value)
    met = (ends[0], ends[1], ends[2])
    rows = {root.value.numel() // max(root.value.shape[-1], 1) for root in roots if root.value.dim()}
    if len(rows) != 1 or any(root.gradient is None for root in roots):
        return None
    if all(projects(root) for root in roots):
        return Attention(core, roots, met, True, logits, dropout)
    return Attention(core, roots, met, False, logits, dropout) if _are_parts(before, roots) else None


def _behind_softmax(weights: Node, reads: Reads) -> tuple[Node | None, Node | None]:
    """What a softmax was taken of, and the product of queries and keys behind that."""
    logits: Node | None = None
    node = weights
    while True:
        given = reads(node)
        if node.function in PRODUCTS and logits is not None:
            return (logits, node) if len(given) == 2 else (None, None)
        if len(given) != 1:
            return None, None
        if node.function == "softmax":
            logits = given[0]
        node = given[0]


def _ancestors(node: Node, members: dict[int, Node]) -> dict[int, Node]:
    found, waiting = {}, [node]
    while waiting:
        taken = waiting.pop()
        if taken.index not in found:
            found[taken.index] = taken
            waiting += [given for given in taken.inputs if given.index in members]
    return found


def _are_parts(before: Node, roots: Iterable[Node]) -> bool:
    """Whether the three make up the joint before, each value once: then their cotangents' energies add up to its own."""
    roots = list(roots)
    if sum(root.value.numel() for root in roots) != before.value.numel():
        return False

    def energy(node: Node) -> float:
        assert node.gradient is not None, "only nodes with a gradient are kept"
        return float(node.gradient.double().square().sum())

    whole = energy(before)
    return abs(sum(energy(root) for root in roots) - whole) <= ROUNDING * whole


def is_homogeneous(attention: Attention, before: Node) -> bool:
    """Whether queries, keys and values only are scaled and turned on their way into it, and are thirds of the joint before where
    they are parts of that: then laws hold for what each of them carries."""
    if not all(passes_scale_on(root, end) for root, end in zip(attention.roots, attention.ends, strict=True)):
        return False
    return attention.are_projections or _are_thirds(attention, before)


def _are_thirds(attention: Attention, before: Node) -> bool:
    """Whether queries, keys and values are the first, second and last third of what a projection gave, which its sums over all
    positions show in whatever order these are."""
    while before.function in SHAPE_ONLY and len(before.inputs) == 1:
        before = before.inputs[0]
    whole = before.value.double()
    parts = torch.cat([root.value.double().reshape(-1, root.value.shape[-1]) for root in attention.roots], -1)
    if not whole.dim() or whole.shape[-1] != parts.shape[-1]:
        return False
    whole = whole.reshape(-1, whole.shape[-1])
    rounding = 1e-9 * whole.abs().sum(0)
    return bool(((whole.sum(0) - parts.sum(0)).abs() <= rounding).all())


def describe(attention: Attention) -> dict[str, Any]:
    """Heads, positions, causality, and how it spreads over what it may look at."""
    logits, causal = _logits(attention)
    heads = logits.shape[-3] if logits is not None and logits.dim() > 3 else 1
    positions = logits.shape[-1] if logits is not None else attention.rows
    detail = None if logits is None else _spread(logits)
    plain = attention.plain
    causal = causal or (plain is not None and plain["causal"])
    return {"heads": heads, "positions": positions, "causal": causal, "detail": detail, "plain": plain}


def _plain(attention: Attention) -> dict[str, Any] | None:
    """What the core calls an attention: softmax(Q K^T / sqrt d) V over all positions or those so far, of queries and keys as they
    part or turned by rotary positions. What the call gave shows whether it is that."""
    given = attention.apart(attention.core.value.detach())
    roots = [attention.by_sample(root.value.detach()) for root in attention.roots]
    if given is None or not given.numel():
        return None
    count, heads, steps, width = given.shape
    # Several heads may share keys and values.
    own = [root.shape[-1] // width for root in roots]
    if any(not n or heads % n or root.numel() != count * steps * n * width for n, root in zip(own, roots, strict=True)):
        return None
    if own[0] != heads or own[1] != own[2] or (attention.is_dropping and attention.dropped is None):
        return None
    # Of a long sequence what some of its positions see, of a large batch samples from all over it.
    asked = _spread_over(steps, MOST_COMPARED // (heads * steps), given.device)
    samples = _spread_over(count, MOST_COMPARED // (heads * steps * len(asked)), given.device)

    def parted(root: Tensor, own: int) -> Tensor:
        part = root.reshape(count, steps, own, width)[samples].transpose(1, 2).float()
        return part.repeat_interleave(heads // own, 1)

    parts = [parted(root, n) for root, n in zip(roots, own, strict=True)]
    # Weights leave what all positions have in common as it is, whatever they are, times what they add up to.
    common = parts[2].mean(-2, keepdim=True)
    whole, values = given[samples][..., asked, :].float(), parts[2] - common
    mask = None if attention.dropped is None else attention.dropped[samples][..., asked, :].float()
    future = torch.arange(steps, device=given.device) > asked[:, None]

    def distance(rotary: bool, causal: bool) -> tuple[float, float]:
        """Squares of what is apart from what such an attention gives, and of what that depends on."""
        query, key = (_turned(part) if rotary else part for part in parts[:2])
        logits = query[..., asked, :] @ key.mT / math.sqrt(width)
        weights = (logits.masked_fill(future, -math.inf) if causal else logits).softmax(-1)
        weights, common_part = (weights, common) if mask is None else (weights * mask, (weights * mask).sum(-1, keepdim=True) * common)
        apart = whole - common_part
        return float((weights @ values - apart).square().sum()), float(apart.square().sum())

    # Of one step alone all are the same, and the first is taken.
    ways = [(rotary, causal) for rotary in (False, True) for causal in (False, True)]
    distances = [distance(*way) for way in ways]
    nearest = min(range(len(ways)), key=distances.__getitem__)
    distant, apart = distances[nearest]
    if steps > 1 and not distant <= SAME**2 * apart:
        return None
    if steps == 1 and apart > SAME**2 * float(common.square().sum()):
        return None
    rotary, causal = ways[nearest]
    return {"features": heads * width, "heads": heads, "steps": steps, "causal": causal, "rotary": rotary}


def _drawn_again(core: Node) -> tuple[Tensor, Tensor]:
    """The weights of PyTorch's own call with what dropout left of them, drawn again from the generator's state before it, and
    without dropout. Values that are ones, each at a place of its own, give back what they are weighed with."""
    query, key = core.argument("query", 0).detach(), core.argument("key", 1).detach()
    steps = key.shape[-2]
    value = torch.eye(steps, dtype=query.dtype, device=query.device).expand(*key.shape[:-1], steps)
    same = {"attn_mask": core.argument("attn_mask", 3), "is_causal": core.argument("is_causal", 5, False)} | {
        name: core.kwargs[name] for name in ("scale", "enable_gqa") if name in core.kwargs
    }

    def weights(fraction: float) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=fraction, **same)

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        if core.generator is not None:
            torch.set_rng_state(core.generator)
        return weights(float(core.argument("dropout_p", 4, 0.0))), weights(0.0)


def _spread_over(count: int, most: int, device: torch.device) -> Tensor:
    """At most so many of the first numbers, from the first to the last of them; one at least."""
    return torch.linspace(count - 1, 0, max(1, min(count, most)), device=device).round().long().flip(0)


def _turned(heads: Tensor) -> Tensor:
    """`[..., steps, width]` turned by the angles of rotary positions (Su et al. 2021), halves of a head as pairs."""
    steps, pairs = heads.shape[-2], heads.shape[-1] // 2
    if heads.shape[-1] != 2 * pairs:
        return heads
    step, pair = (torch.arange(count, dtype=heads.dtype, device=heads.device) for count in (steps, pairs))
    angles = step[:, None] * torch.pow(10_000, -pair / pairs)
    one, other = heads[..., :pairs], heads[..., pairs:]
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1)


def _logits(attention: Attention) -> tuple[Tensor | None, bool]:
    if attention.logits is not None:
        value = attention.logits.value
        return value[: _samples(value.numel(), value.shape[0])].float(), False
    core = attention.core
    query, key = core.argument("query", 0), core.argument("key", 1)
    mask, causal, scale = core.argument("attn_mask", 3), bool(core.argument("is_causal", 5, False)), core.argument("scale", 6)
    if not (isinstance(query, Tensor) and isinstance(key, Tensor) and query.dim() >= 3):
        return None, causal
    samples = _samples(query.numel() // query.shape[-1] * key.shape[-2], query.shape[0])
    first: Callable[[Tensor], Tensor] = lambda tensor: tensor.detach()[:samples].float()
    query, key = first(query), first(key)
    if query.dim() > 3 and key.shape[-3] != query.shape[-3]:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    logits = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if isinstance(mask, Tensor):
        mask = mask.detach()
        mask = mask[:samples] if mask.dim() == query.dim() and mask.shape[0] > 1 else mask
        logits = logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask.float()
    if causal:
        logits = logits.masked_fill(~torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril(), -math.inf)
    return logits, causal


def _samples(logits: int, samples: int) -> int:
    return max(1, min(samples, samples * MOST_LOGITS // max(logits, 1)))


def _spread(logits: Tensor) -> dict[str, float] | None:
    """Entropy over that of looking everywhere, mean over rows that see two positions or more; size of the logits."""
    visible = logits > MASKED
    seen = visible.sum(-1)
    rows = seen > 1
    if not bool(rows.any()) or not bool(torch.isfinite(logits[visible]).all()):
        return None
    logits = logits.double()
    weights = logits.masked_fill(~visible, -math.inf)[rows].softmax(-1)
    entropy = -torch.special.xlogy(weights, weights).sum(-1) / seen[rows].double().log()
    kept = logits.masked_fill(~visible, 0.0)
    means = kept.sum(-1, keepdim=True) / seen.clamp(min=1).unsqueeze(-1)
    apart = (kept - means).masked_fill(~visible, 0.0)
    return {
        "entropy": float(entropy.mean()),
        "logit_rms": float((apart.square().sum() / visible.sum()).sqrt()),
        "largest_logit": float(kept.abs().max()),
    }
