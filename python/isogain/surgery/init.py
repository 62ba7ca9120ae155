"""Weights drawn anew by a named scheme.

The scale of every scheme is the core's formula for the layer's fans and the activation that follows it; where torch
has the scheme, torch's own function draws it. Fans are computed as torch does, the receptive field of a convolution
included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from isogain import _core
from isogain.surgery.code import Call
from isogain.surgery.errors import CannotApply
from isogain.surgery.names import written
from isogain.surgery.observe import Layer, Layout, is_recurrent, is_transposed
from isogain.surgery.steps import Draw, Parts, Step

# Deviation of a standard normal that is cut off at two deviations: what is drawn cut must be drawn wider by this.
_TRUNCATED_DEVIATION = 0.8796256610342398

# The scheme that draws a layer's weight and bias together, and the deviation of its symmetric numbers times the root of
# the fan-in; one number of each unit becomes positive afterwards.
_TOGETHER = "randomized-asymmetric"
_SYMMETRIC = 0.6007


def delta_orthogonal(weight: torch.Tensor, gain: float = 1.0) -> None:
    """Zero but for the middle of each patch, which is an orthogonal matrix times the gain (Xiao et al. 2018); a weight
    without patches is orthogonal. Weights are `[out, in, ...]`."""
    with torch.no_grad():
        middle = torch.empty_like(weight.flatten(2)[:, :, 0] if weight.ndim > 2 else weight)
        nn.init.orthogonal_(middle, gain)
        weight.zero_()
        for size in weight.shape[2:]:
            weight = weight.select(2, size // 2)
        weight.copy_(middle)


def looks_linear(weight: torch.Tensor, pairs_out: bool, pairs_in: bool, gain: float = 1.0) -> None:
    """An orthogonal matrix whose second half of units has the negated weights of the first half (`pairs_out`), and which
    reads the difference of the halves of its input (`pairs_in`): relu(z) - relu(-z) = z, so that the network starts as a
    product of orthogonal matrices (Balduzzi et al. 2017). Weights are `[out, in, ...]`."""
    with torch.no_grad():
        units, inputs = weight.shape[0] // (1 + pairs_out), weight.shape[1] // (1 + pairs_in)
        half = torch.empty_like(weight[:units, :inputs])
        nn.init.orthogonal_(half, gain)
        half = torch.cat([half, -half], 1) if pairs_in else half
        weight.copy_(torch.cat([half, -half]) if pairs_out else half)


def one_positive(layer: Any) -> None:
    """In each unit one number among its weights and its bias, chosen at random, becomes positive, from Beta(2, 1): a
    narrow ReLU network is then seldom born dead (Lu et al. 2019)."""
    with torch.no_grad():
        weight = layer.weight.flatten(1)
        positive = torch.rand(len(weight), dtype=weight.dtype, device=weight.device).sqrt()
        for unit, chosen in enumerate(torch.randint(weight.shape[1] + 1, (len(weight),)).tolist()):
            if chosen < weight.shape[1]:
                weight[unit, chosen] = positive[unit]
            elif layer.bias is not None:
                layer.bias[unit] = positive[unit]
        layer.weight.copy_(weight.view_as(layer.weight))


def attention_parts(layer: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights and biases of a MultiheadAttention: those of query, key and value, which lie in one tensor, and the
    output's."""
    biases = [layer.in_proj_bias, layer.out_proj.bias]
    return [*layer.in_proj_weight.chunk(3), layer.out_proj.weight], [bias for bias in biases if bias is not None]


def input_blocks(layer: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What a recurrent layer multiplies its inputs by: a block for each gate, layer and direction; and all biases."""
    found = dict(layer.named_parameters())
    biases = [tensor for name, tensor in found.items() if name.startswith("bias_")]
    blocks = [found[name].split(layer.hidden_size) for name in found if name.startswith("weight_ih")]
    return [block for gates in blocks for block in gates], biases


def state_blocks(layer: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What a recurrent layer multiplies its state by, and the projection of the state where there is one."""
    found = dict(layer.named_parameters())
    blocks = [found[name].split(layer.hidden_size) for name in found if name.startswith("weight_hh")]
    projections = [tensor for name, tensor in found.items() if name.startswith("weight_hr")]
    return [*(block for gates in blocks for block in gates), *projections], []


def transposed_parts(layer: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weight and bias of a layer whose weight is `[inputs, outputs]`."""
    return [layer.weight.T], [layer.bias]


def without_padding(layer: nn.Embedding) -> None:
    """Sets the vector of the padding index to zero."""
    with torch.no_grad():
        layer.weight[layer.padding_idx].fill_(0)


def steps(
    layout: Layout, init: str | Mapping[str, Any] | None, head_init: str | Mapping[str, Any] | None
) -> list[Step]:
    """Draws of every layer in the order of the forward pass: heads by `head_init` where given, all others by `init`."""
    found: list[Step] = []
    done: set[int] = set()
    pairs = False
    for layer in layout.layers:
        reads_pairs, pairs = pairs, _gives_pairs(layer)
        scheme = head_init if layer.path in layout.heads and head_init is not None else init
        if scheme is None:
            continue
        weight = _weight(layer.module)
        if weight is not None and id(weight) in done:
            # Tied: drawn once, with the layer that is called first.
            continue
        done.add(id(weight))
        if is_recurrent(layer.module):
            found += _recurrent(layer, written(scheme))
            continue
        draw = _draw(layer, written(scheme), reads_pairs)
        if draw is not None:
            found.append(draw)
    if not found:
        name = written(init if init is not None else head_init or "")
        raise CannotApply(
            f"init = {name}", "no layer with weights that may be drawn anew: all are frozen, or none was called"
        )
    return found


def _parts(module: nn.Module) -> Parts | None:
    if isinstance(module, nn.MultiheadAttention):
        return attention_parts
    return transposed_parts if is_transposed(module) else None


def _is_computed(module: nn.Module) -> bool:
    return "weight" in getattr(module, "parametrizations", {})


def _weight(module: Any) -> nn.Parameter:
    """The parameter itself, also where the weight is computed from others."""
    found: nn.Parameter
    if isinstance(module, nn.MultiheadAttention):
        found = module.in_proj_weight
    elif is_recurrent(module):
        found = next(module.parameters())
    else:
        found = next(module.parametrizations.weight.parameters()) if _is_computed(module) else module.weight
    return found


def _gives_pairs(layer: Layer) -> bool:
    """Whether its units can come in pairs of opposite sign: their number is even, and a kink follows."""
    weight: Any = getattr(layer.module, "weight", None)
    return weight is not None and weight.shape[0] % 2 == 0 and _is_kinked(layer.following)


def _is_kinked(activation: str) -> bool:
    below, above = _core.activation(activation)["slopes"] or (1.0, 1.0)
    return bool(below != above)


def _draw(layer: Layer, text: str, reads_pairs: bool) -> Draw | None:
    """How this layer is drawn; `None` where it is to be left as it is: frozen, or an embedding, which sums no inputs
    and has no fan that a scheme could balance."""
    module: Any = layer.module
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is None:
        # Keys and values of other widths: no scheme says how the three should be balanced.
        return None
    if hasattr(module, "weight_g"):
        raise CannotApply(
            f"init = {text}",
            "its weight is recomputed by torch.nn.utils.weight_norm; use torch.nn.utils.parametrizations.weight_norm",
            layer.path,
        )
    if not _weight(module).requires_grad:
        return None
    if isinstance(module, nn.Embedding):
        return _embedding(layer, text)
    parts = _parts(module)
    computed = _is_computed(module)
    theory = _theory(layer, text)
    if theory["finish"] and computed:
        raise CannotApply(
            f"init = {text}", "its weight is computed from other parameters, so it cannot be divided", layer.path
        )
    kind = type(module).__name__
    if theory["name"] == "pytorch-default" and not computed and parts is None:
        return Draw([layer.path], kind, "init PyTorch's default instead of its own", None)
    weight = weight_call(theory, layer.following, reads_pairs, _gives_pairs(layer))
    biases = parts(module)[1] if parts is not None else [getattr(module, "bias", None)]
    bias = bias_call(theory) if any(bias is not None and bias.requires_grad for bias in biases) else None
    what = f"init {weight.function.__name__} ({text}) instead of its own"
    # Attention has several outputs inside; only its draw is known.
    passes = None if isinstance(module, nn.MultiheadAttention) else theory["finish"]
    last = Call(one_positive) if theory["name"] == _TOGETHER else None
    if last is not None and (computed or parts is not None):
        why = "draws weight and bias together, and this layer keeps its weights in another form"
        raise CannotApply(f"init = {text}", why, layer.path)
    return Draw([layer.path], kind, what, weight, bias, last, parts, computed, passes, text)


def _recurrent(layer: Layer, text: str) -> list[Step]:
    """A recurrent layer: each gate's block is drawn by itself, with the fans that it has, so that an orthogonal block of
    the state is a rotation. Their sum goes into a sigmoid or a tanh, whatever reads the output."""
    module: Any = layer.module
    if not all(parameter.requires_grad for parameter in module.parameters()):
        return []
    kind = type(module).__name__
    following = getattr(module, "nonlinearity", "tanh")
    if getattr(module, "parametrizations", {}) and not text.startswith("pytorch-default"):
        raise CannotApply(f"init = {text}", "its weights are computed from other parameters", layer.path)
    draws: list[Step] = []
    for parts, of in ((input_blocks, "inputs"), (state_blocks, "state")):
        theory = _theory(layer, text, parts, following)
        if theory["name"] == "pytorch-default":
            return [Draw([layer.path], kind, "init PyTorch's default instead of its own", None)]
        if theory["name"] == _TOGETHER:
            raise CannotApply(f"init = {text}", "is for layers that one activation follows", layer.path)
        weight = weight_call(theory, following, reads_pairs=False, gives_pairs=False)
        bias = bias_call(theory) if parts(module)[1] else None
        what = f"init of what multiplies its {of} {weight.function.__name__} ({text}) instead of its own"
        draws.append(Draw([layer.path], kind, what, weight, bias, parts=parts))
    return draws


def _theory(layer: Layer, text: str, parts: Parts | None = None, following: str | None = None) -> dict[str, Any]:
    module: Any = layer.module
    parts = parts or _parts(module)
    weight: Any = module.weight if parts is None else parts(module)[0][-1]
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    try:
        return _core.initializer(text, following or layer.following, fan_in, fan_out)
    except ValueError as error:
        raise CannotApply(f"init = {text}", str(error), layer.path) from None


def weight_call(
    theory: Mapping[str, Any], following: str, reads_pairs: bool = True, gives_pairs: bool | None = None
) -> Call:
    """How a weight of this mean and variance is drawn: torch's own initialiser where it has the scheme."""
    name, init = theory["name"], nn.init
    gain = theory["parameters"].get("gain", 1.0)
    with_gain = {} if gain == 1.0 else {"gain": gain}
    deviation = math.sqrt(theory["weight_variance"])
    family, _, shape = name.partition("-")
    if name == "keras-default":
        family, shape = "glorot", "uniform"
    if family == "glorot" and shape != "truncated":
        return Call(init.xavier_uniform_ if shape == "uniform" else init.xavier_normal_, **with_gain)
    if name in ("orthogonal", "lsuv", "unit-jacobian"):
        return Call(init.orthogonal_, **with_gain)
    if name == "delta-orthogonal":
        return Call(delta_orthogonal, **with_gain)
    if name == "looks-linear":
        # phi(z) - phi(-z) = (a + b) z for slopes a and b.
        kinked = _is_kinked(following)
        gain /= sum(_core.activation(following)["slopes"]) if kinked else 1.0
        pairs_out = kinked if gives_pairs is None else gives_pairs
        with_gain = {} if gain == 1.0 else {"gain": gain}
        return Call(looks_linear, pairs_out=pairs_out, pairs_in=reads_pairs, **with_gain)
    if name == _TOGETHER:
        return Call(init.normal_, std=_SYMMETRIC / math.sqrt(theory["fan_in"]))
    if name == "constant":
        return Call(init.constant_, theory["weight_mean"])
    if name == "zeros":
        return Call(init.zeros_)
    if family in ("he", "lecun") and shape != "truncated" and gain == 1.0:
        nonlinearity = {"nonlinearity": "linear"} if family == "lecun" else _he(following)
        if nonlinearity is not None:
            return Call(init.kaiming_uniform_ if shape == "uniform" else init.kaiming_normal_, **nonlinearity)
    if shape == "truncated":
        wide = deviation / _TRUNCATED_DEVIATION
        return Call(init.trunc_normal_, std=wide, a=-2 * wide, b=2 * wide)
    if shape == "uniform" or name == "pytorch-default":
        bound = math.sqrt(3.0) * deviation
        return Call(init.uniform_, a=-bound, b=bound)
    return Call(init.normal_, std=deviation)


def _he(following: str) -> dict[str, Any] | None:
    """What torch calls the activation in He's formula; `None` where it has no word for it."""
    below, above = _core.activation(following)["slopes"] or (0.0, 1.0)
    if above != 1.0:
        return None
    if below in (0.0, 1.0):
        return {"nonlinearity": "relu" if below == 0.0 else "linear"}
    return {"a": below, "nonlinearity": "leaky_relu"}


def bias_call(theory: Mapping[str, Any]) -> Call:
    """How a bias is drawn."""
    deviation = math.sqrt(theory["bias_variance"])
    if theory["name"] == _TOGETHER:
        deviation = _SYMMETRIC / math.sqrt(theory["fan_in"])
    if deviation == 0.0:
        return Call(nn.init.zeros_)
    if theory["name"] == "pytorch-default":
        return Call(nn.init.uniform_, a=-math.sqrt(3.0) * deviation, b=math.sqrt(3.0) * deviation)
    return Call(nn.init.normal_, std=deviation)


def _embedding(layer: Layer, text: str) -> Draw | None:
    """An embedding looks its vectors up and sums no inputs: there is no fan to balance, so only schemes that name a
    deviation of their own mean anything to it."""
    name = text.split("(")[0].strip()
    weight: Call | None = None
    if name == "fixed-variance":
        weight = Call(nn.init.normal_, std=_core.initializer(text, "linear", 1, 1)["parameters"]["std"])
    elif name == "keras-default":
        weight = Call(nn.init.uniform_, a=-0.05, b=0.05)
    elif name != "pytorch-default":
        return None
    module: Any = layer.module
    padded = weight is not None and module.padding_idx is not None
    return Draw(
        [layer.path],
        "Embedding",
        f"init {text} instead of its own",
        weight,
        last=Call(without_padding) if padded else None,
    )
