"""From recorded tensors to the chain of operations whose log-gains add up to the whole.

A **joint** is a tensor that every path from input to loss goes through. Between two neighbouring joints lies one operation,
a residual sum y = x + F(x), or something that is taken whole and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from isogain import attention, grid, layout, segments
from isogain.buffers import Buffers
from isogain.homogeneity import passes_scale_on
from isogain.layout import WEIGHTED
from isogain.through_time import Direction, Layer, layers_of, reads_steps_first, takes_last_layer
from isogain.trace import Node, Trace

#: Products within products, beyond which one is taken whole.
DEEPEST = 4

MASKS = frozenset({"dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d"})
"""Calls that multiply every value with a number of its own."""

# Modules that write one known operation in several calls.
COMPOSED_ACTIVATIONS = {"NewGELUActivation": "gelu", "GELUActivation": "gelu", "PytorchGELUTanh": "gelu",
                        "FastGELUActivation": "gelu", "SiLUActivation": "silu"}  # fmt: skip

# Parameters of PyTorch's recurrent layers, and what the core calls them.
RECURRENT_PARAMETERS = (("weight_ih", "weight"), ("weight_hh", "hidden_weight"), ("bias_ih", "bias"), ("bias_hh", "hidden_bias"))

# Ends of the names of modules that are an RMS norm.
COMPOSED_NORMS = ("RMSNorm", "T5LayerNorm")

# The module of isogain's treatments that corrects the statistics of batch norm.
BATCH_RENORM = "BatchRenorm"
GHOST_BATCH_NORM = "GhostBatchNorm"


@dataclass
class Chain:
    """The operations of a model as the core reads them; buffers are indices into `Builder.buffers`."""

    ops: list[dict[str, Any]]
    renamed: dict[str, str]
    """What the core calls parameters that are no weights: `bn1.weight` is `bn1.gamma`, a LayerScale's factor `<op>.scale`."""
    is_whole: bool
    """Whether it ends where the loss begins; else layers follow that run side by side, such as several heads."""


def _held_weight(module: nn.Module) -> Any:
    """The weight that a module holds: to ask for one that is computed (spectral_norm) is to compute it, which changes its state."""
    return {**vars(module), **dict(module.named_parameters(recurse=False))}.get("weight")


def activation(node: Node) -> dict[str, float | str] | str | None:
    """The core's name of an activation, with its number where it has one; None for anything else."""

    def number(name: str, position: int, default: float) -> float:
        return float(node.argument(name, position, default))

    match node.function:
        case "relu" | "sigmoid" | "tanh" | "silu" | "selu" | "gelu" | "softsign":
            return node.function
        case "leaky_relu":
            return {"name": "leaky-relu", "slope": number("negative_slope", 1, 0.01)}
        case "elu" if number("alpha", 1, 1.0) == 1.0:
            return "elu"
        case "softplus" if number("beta", 1, 1.0) == 1.0:
            return "softplus"
        case "hardtanh" if (number("min_val", 1, -1.0), number("max_val", 2, 1.0)) == (-1.0, 1.0):
            return "hard-tanh"
    return None


def taken_apart(trace: Trace, model: nn.Module) -> tuple[Builder, Chain]:
    """The chain of a trace, and the builder that holds its buffers."""
    builder = Builder(trace, model)
    chain = builder.build()
    if builder.begins_with_steps is not None:
        # Only attention tells steps from samples: now that it has, from the input on.
        builder = Builder(trace, model, builder.begins_with_steps)
        chain = builder.build()
    return builder, chain


class Builder:
    """Builds the chain of one trace."""

    def __init__(self, trace: Trace, model: nn.Module, steps_first: tuple[int, int] | None = None) -> None:
        self.trace = trace
        # What computes a layer's weights is a module in it, and makes it no composite one.
        self._leaves = {
            path
            for path, module in model.named_modules()
            if all(child == "parametrizations" for child, _ in module.named_children())
        }
        self._modules = dict(model.named_modules())
        self._weights = {path: _held_weight(module) for path, module in self._modules.items()}
        self._classes = {path: type_before_parametrizations(module).__name__ for path, module in model.named_modules()}
        self._owned = {path for path, module in model.named_modules() if any(True for _ in module.parameters())}
        self._parameters = {id(p): name for name, p in model.named_parameters()}
        self._taken: set[str] = set()
        self.buffers = Buffers()
        self._renamed: dict[str, str] = {}
        self._scaled: Node | None = None
        """The last joint behind a layer: what it is c times as large for, laws say."""
        self._steps_first = steps_first
        """Steps and samples, where positions come step by step at present."""
        self.begins_with_steps: tuple[int, int] | None = None
        """The same, where attention shows that they do so from the input on, and nobody had said it."""
        self._products = 0
        """Products around the present operation."""

    def build(self) -> Chain:
        nodes = self.trace.nodes
        # Names of layers with weights come first, because findings look for `<name>.weight`.
        self._position = {node.index: position for position, node in enumerate(nodes)}
        self._own = {node.index: self._parameter_path(node) for node in nodes}
        self._reserved = {name for name in self._own.values() if name}
        cuts = self._joints(nodes)
        # The loss is no operation of the network, also where the model computes it itself.
        loss = self.trace.loss_node()
        end = loss.index if loss is not None else len(nodes) and nodes[-1].index + 1
        body = [node for node in cuts if node.index < end and (node.in_model or node.function == "input")]
        # The batch itself is the first joint where it has a cotangent; token indices have none, and the chain begins behind
        # the embedding.
        last = body[-1].index if body else 0
        is_whole = not any(last < node.index < end and self._own[node.index] for node in nodes)
        return Chain(self._chain(body, nodes, layout.axis_of_source(body)), self._renamed, is_whole)

    def _joints(self, nodes: Sequence[Node], source: Node | None = None) -> list[Node]:
        """The cuts, but for those inside of one known operation: a module that writes it in several calls, or of the last states
        of all layers those that nothing reads."""

        def inside(node: Node) -> bool:
            position = self._position[node.index] + 1
            following = self.trace.nodes[position] if position < len(self.trace.nodes) else None
            if following is None:
                return False
            return takes_last_layer(node, following) or (following.module == node.module and self._is_composed(node.module))

        return [node for node in segments.cuts(nodes, source) if not inside(node)]

    def _is_composed(self, path: str) -> bool:
        kind = self._classes.get(path, "")
        return kind in COMPOSED_ACTIVATIONS or kind.endswith(COMPOSED_NORMS)

    # -- joints to operations -------------------------------------------------------------------------------------------

    def _chain(self, cuts: Sequence[Node], nodes: Sequence[Node], axis: int, first: Tensor | None = None) -> list[dict[str, Any]]:
        """Operations between neighbouring cuts. `first` is the cotangent that flows into the first cut through this chain
        alone, where another path meets it."""
        ops: list[dict[str, Any]] = []
        outer, outer_order, self._scaled = self._scaled, self._steps_first, cuts[0] if cuts else None
        source, laid = (cuts[0] if cuts else None), axis
        gave = self._by_sample(source.value).to("cpu") if source is not None else None
        for position, (before, after) in enumerate(zip(cuts, cuts[1:], strict=False)):
            segment = [node for node in nodes if before.index < node.index <= after.index]
            cotangent = first if position == 0 and first is not None else before.gradient
            assert cotangent is not None
            axis = layout.axis_of(before, after, axis)
            if len(segment) == 1 and segments.is_shape_only(before, after):
                axis = layout.axis_moved(after, axis)
                continue  # what follows starts from the same numbers in another order
            self._check_batched(after)
            assert source is not None and gave is not None
            found = attention.find(before, after, segment, self._is_plain_linear) if len(segment) > 1 else None
            if source is not before and laid == -1:
                reads = before.value if found is None or found.are_projections else found.side_by_side(gradient=False)
                self._steps_first = layout.steps_first(gave, reads, self._steps_first)
            if found is not None:
                found = replace(found, steps_first=self._steps_first)
                self.begins_with_steps = self.begins_with_steps or found.begins_with_steps()
                ops += self._attention(before, after, found, cotangent)
            elif len(segment) == 1 and laid == 1 and layout.reads_flattened(source, before, after):
                ops.append(self._op(source, after, segment, cotangent.reshape(source.value.shape), axis, laid, is_flattened=True))
            else:
                ops += self._ops(before, after, segment, cotangent, axis, laid)
            source, laid = after, -1 if found is not None else axis
            gave = self.buffers.tensors[ops[-1]["output"]]
            if ops[-1]["kind"] not in ("activation", "other"):
                self._scaled = after
        self._scaled, self._steps_first = outer, outer_order
        return ops

    def _ops(
        self, before: Node, after: Node, segment: list[Node], cotangent: Tensor, axis: int, laid: int
    ) -> list[dict[str, Any]]:
        """What lies between two neighbouring cuts: one operation, or several where one call or module does them. Channels are
        along `axis` of what it gives, and were along `laid` of what the operation before gave."""
        call = segment[0]
        if (call is after or segment == [call, after] and takes_last_layer(call, after)) and (layers := layers_of(call)) is not None:
            return self._recurrent(before, call, after, layers, cotangent)
        return [self._op(before, after, segment, cotangent, axis, laid)]

    def _check_batched(self, node: Node) -> None:
        if node.function in layout.CONVOLUTIONS and node.value.dim() == int(node.function[-2]) + 1:
            where = self._path(node)
            raise ValueError(f"{where}: {node.function} reads one sample without a batch axis: give the model a batch, x.unsqueeze(0)")

    def _op(
        self, before: Node, after: Node, segment: list[Node], cotangent: Tensor, axis: int, laid: int, is_flattened: bool = False
    ) -> dict[str, Any]:
        pooled = None
        if len(segment) == 1 and (axis == 1 or after.value.dim() == 2):
            pooled = grid.pool(after) if laid == 1 else grid.pool_of_steps(after, 1 if self._steps_first is None else 0)
        of_input = laid if is_flattened or pooled else axis if before.value.dim() == after.value.dim() else None
        op: dict[str, Any] = {
            "rows": layout.rows(after, axis),
            "input": self.buffers.add(self._by_sample(before.value), of_input),
            "output": self.buffers.add(self._by_sample(after.value), axis),
            "cotangent_in": self.buffers.add(self._by_sample(cotangent), of_input),
            "cotangent_out": self.buffers.add(self._by_sample(_gradient(after)), axis),
        }
        if len(segment) == 1:
            found = self._single(before, after, axis, before.value.shape[1:] if is_flattened else None)
            return op | found | ({"pool": pooled} if pooled and found["kind"] == "other" else {})
        if (branch := segments.residual(before, after)) is not None:
            return op | self._residual_op(before, after, branch, segment, cotangent, axis)
        if (projected := self._projected(before, after, segment, axis)) is not None:
            return op | projected
        return op | self._composed(before, segment, axis)

    def _single(self, before: Node, node: Node, axis: int, flattened: torch.Size | None) -> dict[str, Any]:
        if (found := self._linear(node, flattened)) is not None or (found := self._norm(node)) is not None:
            return {"name": self._unique(self._own[node.index] or self._path(node), node), **found}
        name = self._unique(self._own[node.index] or self._path(node), node)
        if (phi := activation(node)) is not None and node.value.shape == before.value.shape:
            return {"name": name, "kind": "activation", "activation": phi}
        self._name_factor(node, name)
        return {"name": name} | self._other([node], node.function)

    def _name_factor(self, node: Node, name: str) -> None:
        """A parameter that multiplies (LayerScale, ReZero) is the operation's scale: one that starts at zero is a gate that
        opens with the first step."""
        if node.function == "mul":
            for tensor in segments.tensors_of(node):
                if own := self._parameters.get(id(tensor)):
                    self._renamed[own] = f"{name}.scale"

    def _linear(self, node: Node, flattened: torch.Size | None = None) -> dict[str, Any] | None:
        """A layer with its weight; `flattened` is the shape of a sample, channels first, that it reads as one vector."""
        weight = self._linear_weight(node)
        if weight is None:
            return None
        gradient = self.trace.weights[id(weight)]
        kind = "convolution" if node.function.startswith("conv") else "linear"
        fields: dict[str, Any] = {"kind": kind, "weight": self.buffers.add(layout.as_read(weight, flattened))}
        if gradient is not None:
            fields["weight_gradient"] = self.buffers.add(layout.as_read(gradient, flattened))
        if kind == "linear":
            fields["units"] = layout.units(node)
        elif (window := grid.convolution(node)) is not None:
            fields["window"] = window
        # A head that shares its embedding's table goes by the table's name among the parameters.
        name = self._parameters.get(id(weight), "")
        if kind == "linear" and name.endswith(".weight") and name != f"{self._own[node.index]}.weight":
            fields["tied"] = name.removesuffix(".weight")
        if (own := self._own_terms([node], [weight])) is not None:
            fields["own"] = own
        return fields

    def _own_terms(self, nodes: Sequence[Node], weights: Sequence[Tensor | None]) -> dict[str, Any] | None:
        """What laws about the gradient of a layer's weight need; None where a part of that gradient is of other calls. Of several
        projections side by side, what holds for all as one."""
        biases = [_bias(node) for node in nodes]
        used = [tensor for tensor in (*weights, *biases) if tensor is not None]
        if any(self.trace.uses.get(id(tensor), 0) > 1 for tensor in used) or len({bias is None for bias in biases}) != 1:
            return None
        # A bias that is made of the batch is none.
        if any(bias is not None and bias.requires_grad and id(bias) not in self.trace.weights for bias in biases):
            return None
        own: dict[str, Any] = {"bias": None}
        given = [bias for bias in biases if bias is not None]
        if given:
            own["bias"] = {"values": self.buffers.add(_one_below_the_other(given))}
            gradients = [self.trace.weights.get(id(bias)) for bias in given]
            if all(gradient is not None for gradient in gradients):
                own["bias"]["gradient"] = self.buffers.add(_one_below_the_other(gradients))
        return own

    def _linear_weight(self, node: Node) -> Tensor | None:
        position = WEIGHTED.get(node.function)
        if position is None:
            return None
        weight = node.argument({"addmm": "mat2", "matmul": "other", "mm": "mat2"}.get(node.function, "weight"), position)
        if not isinstance(weight, Tensor) or id(weight) not in self.trace.weights:
            return None
        is_scaled = any(float(node.kwargs.get(factor, 1)) != 1.0 for factor in ("alpha", "beta"))
        is_matrix = weight.dim() == 2 and not is_scaled
        return weight if is_matrix or node.function.startswith("conv") else None

    def _norm(self, node: Node) -> dict[str, Any] | None:
        groups, rows = 0, None
        match node.function:
            case "batch_norm" if node.argument("training", 5, False) or node.argument("running_mean", 1) is None:
                # Its correction is a part of the weight that it gives to this call.
                kind = "batch-renorm" if self._classes.get(node.module) == BATCH_RENORM else "batch"
                weight, eps, features = node.argument("weight", 3), node.argument("eps", 7, 1e-5), node.value.shape[1]
            case "layer_norm":
                features = math.prod(node.argument("normalized_shape", 1))
                kind, weight, eps, rows = "layer", node.argument("weight", 2), node.argument("eps", 4, 1e-5), node.value.numel() // features
            case "rms_norm":
                eps = node.argument("eps", 3)
                eps = torch.finfo(node.value.dtype).eps if eps is None else eps
                features = math.prod(node.argument("normalized_shape", 1))
                kind, weight, rows = "rms", node.argument("weight", 2), node.value.numel() // features
            case "group_norm":
                kind, weight, eps, features = "group", node.argument("weight", 2), node.argument("eps", 4, 1e-5), node.value.shape[1]
                groups = int(node.argument("num_groups", 1))
            case "instance_norm" if node.argument("use_input_stats", 5, True):
                # Each feature of a sample is a group.
                kind, weight, eps, features = "group", node.argument("weight", 3), node.argument("eps", 7, 1e-5), node.value.shape[1]
                groups = features
            case _:
                return None
        found = {"kind": "norm", "norm": kind, "gamma": self._gamma(node, weight, features), "eps": float(eps)}
        found |= {"groups": groups, "samples": node.value.shape[0]}
        return found if rows is None else found | {"rows": rows}

    def _gamma(self, node: Node, weight: Tensor | None, features: int) -> int:
        if weight is None:
            return self.buffers.add(torch.ones(features), None)
        if name := self._own[node.index]:
            self._renamed |= {f"{name}.weight": f"{name}.gamma", f"{name}.bias": f"{name}.beta"}
        return self.buffers.add(weight)

    def _residual_op(self, before: Node, after: Node, branch: Node, segment: list[Node], cotangent: Tensor, axis: int) -> dict[str, Any]:
        inner = [node for node in segment if node is not after]
        returned = cotangent - _gradient(after)
        name = self._block_name(inner)
        cuts = [before, *self._joints(inner, source=before)]
        if cuts[-1] is not branch:
            cuts = [before, branch]
        return {
            "name": name,
            "kind": "residual",
            "branch_cotangent_in": self.buffers.add(returned, axis),
            "branch": self._chain(cuts, inner, axis, first=returned),
        }

    def _projected(self, before: Node, after: Node, segment: list[Node], axis: int) -> dict[str, Any] | None:
        """`S(x) + F(x)`, where neither is the identity."""
        sides = segments.sides(before, after, segment) if after.function == "add" and float(after.kwargs.get("alpha", 1)) == 1.0 else None
        if sides is None:
            return None
        # What people call the skip has less in it.
        shortcut, inner = sorted(sides, key=lambda side: (sum(self._has_weights([node]) for node in side), len(side)))
        returned = [self.trace.backs.get((side[-1].index, before.index)) for side in (inner, shortcut)]
        through, past = returned
        if through is None or past is None or shortcut[-1].value.shape != after.value.shape:
            return None
        name = self._block_name(inner)
        branch_ops = self._side(before, inner, axis, through)
        skip_ops = self._side(before, shortcut, axis, past)
        if not skip_ops:
            return None  # a skip that only moves numbers
        return {
            "name": name,
            "kind": "residual",
            "branch_cotangent_in": self.buffers.add(through, axis),
            "branch": branch_ops,
            "shortcut": skip_ops,
        }

    def _side(self, before: Node, side: list[Node], axis: int, back: Tensor) -> list[dict[str, Any]]:
        """The operations of one of several ways from a joint; `back` is what comes back through it alone."""
        return self._chain([before, *self._joints(side, source=before)], side, axis, first=back)

    # -- operations that one call or module does several of ------------------------------------------------------------

    def _recurrent(self, before: Node, call: Node, after: Node, layers: list[Layer], cotangent: Tensor) -> list[dict[str, Any]]:
        """Each layer of a call, and which of its states are read: all, or the last one alone."""
        path = self._path(call)
        ops: list[dict[str, Any]] = []
        # One that only begins with what was computed of the batch reads another sequence.
        is_read = layout.is_same(call.args[0].detach(), before.value.detach())
        if is_read and reads_steps_first(call) and self._steps_first is None and layers[0].directions:
            order = self._steps_first = (before.value.shape[0], before.value.shape[1])
            self.begins_with_steps = self.begins_with_steps or order
        by_sample: Callable[[Tensor], Tensor] = lambda steps: steps.transpose(0, 1)
        given, came, whole = self._by_sample(before.value), self._by_sample(cotangent), self._by_sample(after.value)
        returned = self._by_sample(_gradient(after))
        for at, layer in enumerate(layers):
            is_last = at == len(layers) - 1
            name = self._unique(path if len(layers) == 1 else f"{path}.l{at}")
            last_state = is_read and is_last and call.place == 1 and len(layer.directions) == 1 and returned.numel() == layer.output[-1].numel()
            output = whole if is_last and not last_state else by_sample(layer.output)
            left = returned if is_last and not last_state else by_sample(layer.cotangent)
            if last_state:
                left = torch.zeros_like(output)
                left[:, -1] = returned.reshape(left[:, -1].shape)
            # The last states of several layers or directions are no sequence.
            directions = [] if not is_read else layer.directions if not is_last or last_state or call.place == 0 else []
            if self._classes.get(call.module) in ("RNN", "LSTM", "GRU") and call.module in self._leaves:
                for old, new in RECURRENT_PARAMETERS:
                    for own in (f"{old}_l{at}", f"parametrizations.{old}_l{at}.original"):
                        self._renamed[f"{call.module}.{own}"] = f"{name}.{new}"
            ops.append({
                "name": name,
                "kind": "recurrent",
                "rows": output.numel() // output.shape[-1],
                "input": self.buffers.add(given),
                "output": self.buffers.add(output),
                "cotangent_in": self.buffers.add(came),
                "cotangent_out": self.buffers.add(left),
                "cell": layer.kind.cell,
                "activation": layer.kind.activation,
                "inputs": layer.inputs,
                "units": layer.units,
                "states": self._steps(layer.states),
                "paths": [{"name": way, "states": self._steps(part)} for way, part in layer.paths.items()],
                "gates": layer.gates,
                "forget_bias": layer.forget_bias,
                "directions": [self._direction(direction) for direction in directions],
            })  # fmt: skip
            if last_state:
                ops.append({
                    "name": self._unique(f"{path}.last"),
                    "rows": len(output),
                    "input": self.buffers.add(output),
                    "output": self.buffers.add(whole),
                    "cotangent_in": self.buffers.add(left),
                    "cotangent_out": self.buffers.add(returned),
                    "pool": {"pool": "last", "positions": output.shape[1]},
                } | self._other([call], "last") | {"weighted": False})  # fmt: skip
            given, came = output, left
            if layer.passed_on is not None:
                given, came = (by_sample(part) for part in layer.passed_on)
                ops.append({
                    "name": self._unique(f"{path}.dropout"),
                    "rows": given.numel() // given.shape[-1],
                    "input": self.buffers.add(output),
                    "output": self.buffers.add(given),
                    "cotangent_in": self.buffers.add(left),
                    "cotangent_out": self.buffers.add(came),
                } | self._other([call], "dropout") | {"weighted": False, "masks": True})  # fmt: skip
        return ops

    def _direction(self, direction: Direction) -> dict[str, Any]:
        weight, hidden_weight, *biases = (self.buffers.add(tensor) for tensor in direction.weights)
        start = self.buffers.add(direction.start)
        return {"weight": weight, "hidden_weight": hidden_weight, "biases": biases or None, "start": start}

    def _steps(self, tensor: Tensor) -> dict[str, int]:
        return {"buffer": self.buffers.add(tensor), "steps": len(tensor)}

    def _is_plain_linear(self, node: Node) -> bool:
        return node.function in ("linear", "addmm", "matmul", "mm") and self._linear(node) is not None

    def _attention(self, before: Node, after: Node, found: attention.Attention, cotangent: Tensor) -> list[dict[str, Any]]:
        """Attention, and in front of it the projections to queries, keys and values as one linear operation."""
        path = segments.common_path(self._path_of(node) for node in (*found.roots, after)) or after.module
        inner, came = found.side_by_side(gradient=False), found.side_by_side(gradient=True)
        ops: list[dict[str, Any]] = []
        if found.are_projections:
            weights = [self._linear_weight(root) for root in found.roots]
            gradients = [self.trace.weights[id(weight)] for weight in weights]
            projection: dict[str, Any] = {
                "name": self._unique(f"{path}.qkv".lstrip(".")),
                "kind": "linear",
                "rows": found.rows,
                "input": self.buffers.add(self._by_sample(before.value)),
                "output": self.buffers.add(inner),
                "cotangent_in": self.buffers.add(self._by_sample(cotangent)),
                "cotangent_out": self.buffers.add(came),
                "weight": self.buffers.add(_one_below_the_other(weights)),
                "units": "rows" if all(layout.units(root) == "rows" for root in found.roots) else "unknown",
            }
            if all(gradient is not None for gradient in gradients):
                projection["weight_gradient"] = self.buffers.add(_one_below_the_other(gradients))
            if (own := self._own_terms(found.roots, weights)) is not None:
                projection["own"] = own
            ops.append(projection)
        # Without a shape nothing is followed, whatever was dropped.
        dropped = {} if found.plain is None or found.dropped is None else {"dropped": self.buffers.add(found.dropped)}
        ops.append({
            "name": self._unique(f"{path}.attention".lstrip(".")),
            "kind": "attention",
            "rows": found.rows,
            "input": self.buffers.add(inner),
            "output": self.buffers.add(found.given(after.value)),
            "cotangent_in": self.buffers.add(came),
            "cotangent_out": self.buffers.add(found.given(_gradient(after))),
            "features": found.features,
            "homogeneous": attention.is_homogeneous(found, before),
        } | attention.describe(found) | dropped)  # fmt: skip
        return ops

    def _composed(self, before: Node, segment: list[Node], axis: int) -> dict[str, Any]:
        """What one module writes in several calls, or several modules between two joints."""
        path = segments.common_path(self._path_of(node) for node in segment)
        kind = self._classes.get(path, "")
        if kind in COMPOSED_ACTIVATIONS:
            return {"name": self._unique(path), "kind": "activation", "activation": COMPOSED_ACTIVATIONS[kind]}
        last = segment[-1]
        if kind.endswith(COMPOSED_NORMS) and last.value.shape == before.value.shape:
            module = self._modules[path]
            self._own[last.index] = path
            gamma = self._gamma(last, getattr(module, "weight", None), last.value.shape[-1])
            if _is_beside_one(module, before.value, last.value):
                gamma = self.buffers.add(1 + module.weight.detach(), None)
            eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
            return {"name": self._unique(path), "kind": "norm", "norm": "rms", "gamma": gamma, "eps": eps or 1e-6, "samples": 1}
        if kind == GHOST_BATCH_NORM and last.value.shape == before.value.shape:
            module, samples = self._modules[path], last.value.shape[0]
            self._own[last.index] = path
            gamma = self._gamma(last, module.weight, last.value.shape[1])
            norm = {"kind": "norm", "norm": "batch", "gamma": gamma, "eps": module.eps}
            return {"name": self._unique(path), **norm, "groups": module.parts(samples), "samples": samples}
        if kind == BATCH_RENORM and last.function == "batch_norm":
            self._own[last.index] = path
            return {"name": self._unique(path), **(self._norm(last) or {})}
        name = path if path and path not in self._reserved | self._taken else f"{path}.{segments.main_call(segment)}".lstrip(".")
        operation = kind if kind and path else segments.main_call(segment)
        found = {"name": self._unique(name)} | self._other(segment, operation)
        factors = self._factors(before, segment, axis)
        return found if factors is None else found | {"product": factors}

    def _factors(self, before: Node, segment: list[Node], axis: int) -> list[list[dict[str, Any]]] | None:
        """The operations of both factors of `A(x) B(x)`, as gated linear units have them."""
        after = segment[-1]
        sides = segments.sides(before, after, segment) if after.function == "mul" and self._products < DEEPEST else None
        if sides is None or any(side[-1].value.shape != after.value.shape for side in sides):
            return None
        returned = [self.trace.backs.get((side[-1].index, before.index)) for side in sides]
        chains = []
        for side, back in zip(sides, returned, strict=True):
            if back is None:
                return None
            self._products += 1
            chains.append(self._side(before, side, axis, back))
            self._products -= 1
        return chains if all(chains) else None

    def _other(self, segment: Sequence[Node], operation: str) -> dict[str, Any]:
        """What is taken whole."""
        return {
            "kind": "other",
            "operation": operation,
            "weighted": self._has_weights(segment),
            "homogeneous": self._scaled is not None and passes_scale_on(self._scaled, segment[-1]),
            "masks": len(segment) == 1 and segment[0].function in MASKS,
        }

    def _by_sample(self, tensor: Tensor) -> Tensor:
        """The tensor with all positions of a sample together."""
        return tensor if self._steps_first is None else self.buffers.by_sample(tensor, self._steps_first)

    # -- names -----------------------------------------------------------------------------------------------------------

    def _parameter_path(self, node: Node) -> str:
        """Path of the module whose `weight` a call uses: its own where modules share one."""
        if node.module in self._leaves and any(tensor is self._weights[node.module] for tensor in segments.tensors_of(node)):
            return node.module
        for tensor in segments.tensors_of(node):
            name = self._parameters.get(id(tensor), "")
            if name.endswith(".weight"):
                return name.removesuffix(".weight")
            if name and tensor.dim() > 1 and node.function in WEIGHTED and name not in self._renamed:
                # A bare parameter that is multiplied by is a layer of its own.
                own = name.removesuffix("_weight")
                self._renamed[name] = f"{own}.weight"
                return own
        return ""

    def _path_of(self, node: Node) -> str:
        return self._own.get(node.index) or node.module

    def _path(self, node: Node) -> str:
        return node.module if node.module in self._leaves and node.module else f"{node.module}.{node.function}".lstrip(".")

    def _block_name(self, inner: Sequence[Node]) -> str:
        weighted = [self._own[node.index] for node in inner if self._own[node.index] and node.function in WEIGHTED]
        for path in (segments.common_path(weighted), segments.common_path(self._path_of(node) for node in inner)):
            if path and path not in self._reserved | self._taken:
                return self._unique(path)
        return self._unique("block")

    def _unique(self, name: str, node: Node | None = None) -> str:
        if name in self._taken and node is not None and node.module in self._leaves:
            name = f"{name}.{node.function}"
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}-{count}"
        self._taken.add(found)
        return found

    def _has_weights(self, nodes: Sequence[Node]) -> bool:
        multiplying = [node for node in nodes if node.function not in ("add", "sub", "mul", "div", "truediv")]
        return any(t.dim() > 1 and id(t) in self.trace.weights for node in multiplying for t in segments.tensors_of(node))



def _bias(node: Node) -> Tensor | None:
    """What a call adds that multiplies by a matrix."""
    match node.function:
        case "matmul" | "mm":
            return None
        case "addmm":
            bias = node.argument("input", 0)
        case _:
            bias = node.argument("bias", 2)
    return bias if isinstance(bias, Tensor) else None


def _one_below_the_other(weights: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in weights if weight is not None])


def _gradient(node: Node) -> Tensor:
    assert node.gradient is not None, "only nodes with a gradient are kept"
    return node.gradient


def _is_beside_one(norm: nn.Module, given: Tensor, gave: Tensor) -> bool:
    """Whether an RMS norm multiplies by 1 + weight (Gemma), which one position of the batch shows."""
    weight = getattr(norm, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 1 or weight.shape != given.shape[-1:]:
        return False
    x, y = (tensor.detach().reshape(-1, len(weight))[0].double() for tensor in (given, gave))
    bare = x / x.square().mean().sqrt()
    beside, alone = ((bare * factor - y).square().sum() for factor in (1 + weight.detach().double(), weight.detach().double()))
    return bool(beside < alone)


