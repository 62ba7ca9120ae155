"""One forward and backward pass of any module, recorded operation by operation.

A function mode sees every PyTorch call that the model makes on the real batch: no symbolic tracing that data-dependent
control flow could defeat, no module hook that a functional call could slip past. Gradients are asked for afterwards at the
recorded edges of the autograd graph, so that nothing is attached to the model and its `.grad` fields stay as they are.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from isogain.reach import Cut, Reach
from isogain.unseen import product

LOSSES = ("cross_entropy", "mse_loss")

#: Calls that draw dropout between layers of their own.
DRAWS_INSIDE = ("lstm", "gru", "rnn_tanh", "rnn_relu", "scaled_dot_product_attention")

#: Calls between the two ends of a skip connection or gated unit. A loop over steps has longer ways, and each would be gone back.
LONGEST_FORK = 150

#: The place in the graph that a full backward hook of a module takes, before it and behind it.
_BACKWARD_HOOK = "BackwardHookFunctionBackward"

#: Functions that make their operations out of other calls, which are recorded in their place.
OPENED = (torch.nn.functional.multi_head_attention_forward,)


@dataclass(eq=False)
class Node:
    """A tensor that depends on the batch, and the call that made it."""

    index: int
    function: str
    """`linear`, `relu`, `add`: without the underscores of in-place and operator forms; `input` for the batch itself."""
    module: str
    """Path of the innermost module that was running; empty for the model itself and for the loss."""
    in_model: bool
    """False for what the loss function did."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: list[Node]
    """The recorded tensors it read, each once."""
    value: Tensor
    edge: GradientEdge | None
    tensor: Tensor = field(repr=False)
    """Held so that its identity is not given to another tensor."""
    version: int
    """How often its memory had been written to."""
    gradient: Tensor | None = None
    """dL/d(value); None where the loss does not depend on it."""
    place: int = 0
    """Which of the call's results it is."""
    is_unseen: bool = False
    """Whether the call is a custom `autograd.Function`, of which only what went in and came out is known."""
    generator: Tensor | None = None
    """State of the CPU's random generator before a call that draws dropout inside."""

    def argument(self, name: str, position: int, default: Any = None) -> Any:
        """A parameter of the call, by keyword or position."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if position < len(self.args) else default


@dataclass
class Trace:
    """What one pass left behind."""

    nodes: list[Node]
    loss: Tensor
    output: Any
    parameters: dict[str, nn.Parameter]
    gradients: dict[str, Tensor | None]
    weights: dict[int, Tensor | None]
    """Gradient of each tensor that was used as a weight, by identity: parameters, and what is computed from them."""
    uses: dict[int, int]
    """How many calls took such a tensor, by identity, where gradients go: one that several took has gradients of all."""
    backs: dict[tuple[int, int], Tensor]
    """What comes back from one recorded tensor to an earlier one, past everything else, by their indices: for both sides of a
    skip connection with a projection, and for both factors of a gated unit."""
    unreached: dict[str, Cut | None]
    """Parameters that require a gradient and have none: where it is cut, and `None` where the loss does not use them."""

    def loss_node(self) -> Node | None:
        """The call of a known loss function, where there is one."""
        return next((node for node in reversed(self.nodes) if node.function in LOSSES), None)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.weights: dict[int, Tensor] = {}
        self.uses: dict[int, int] = {}
        self.in_model = False
        self._known: dict[int, Node] = {}
        self._edges: dict[tuple[Any, int], Node] = {}
        self._modules: list[str] = []
        self._passed_on: list[Tensor] = []
        """Held like `Node.tensor`."""
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._reach = Reach(model)

    def source(self, tensor: Tensor) -> None:
        self._record("input", (), {}, [], tensor)
        self._reach.source(tensor)

    def unreached(self, loss: Tensor, gradients: Mapping[str, Tensor | None]) -> dict[str, Cut | None]:
        node = next(iter(self._inputs((loss,), {})), None)
        return self._reach.unreached(loss if node is None else node.tensor, gradients)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = self._inputs(args, kwargs)
        writes = _is_in_place(func, args, kwargs)
        if inputs and writes:
            self._keep_values(inputs)
        if inputs and (opened := _opened(func)) is not None:
            with self:
                return opened(*args, **kwargs)
        name = _plain_name(func)
        generator = torch.get_rng_state() if inputs and name in DRAWS_INSIDE else None
        output = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_leaves(output)):
            for tensor in given:
                if tensor.requires_grad and id(tensor) not in self._known:
                    self.uses[id(tensor)] = self.uses.get(id(tensor), 0) + 1
        self._reach.call(name, self._modules[-1] if self._modules else "", self.in_model, given, inputs, output, writes)
        if inputs:
            for place, tensor in enumerate(tree_leaves(output)):
                if not isinstance(tensor, Tensor) or _is_unfinished(tensor):
                    continue
                if self._known.get(id(tensor)) is not None and not _changed(tensor, args):
                    continue  # passed through untouched (`x.contiguous()`, dropout in evaluation mode)
                node = self._record(name, args, kwargs, inputs, tensor)
                node.place, node.generator = place, generator
        return output

    def _inputs(self, args: Any, kwargs: Any) -> list[Node]:
        found: dict[int, Node] = {}
        for leaf in tree_leaves((args, kwargs)):
            if not isinstance(leaf, Tensor):
                continue
            node = self._known.get(id(leaf))
            # A checkpointed region runs without gradients first, and its output gets a place in the graph afterwards.
            if node is None or (node.edge is None and leaf.grad_fn is not None):
                node = self._made_unseen(leaf) or node
            elif node.version != _version(leaf):
                # Through a view of it, or by a call that returns nothing (`x[0] = 1`): it is another tensor now.
                node = self._record_unplaced("write", (), [node], leaf)
            if node is not None:
                found[node.index] = node
        return list(found.values())

    def _made_unseen(self, tensor: Tensor) -> Node | None:
        """Records a tensor that a custom `autograd.Function` made out of recorded ones: those are no calls that a function mode
        sees, but their places in the graph lead back."""
        if tensor.grad_fn is None or id(tensor) in self.weights:
            return None
        if (node := self._behind_hook(tensor)) is not None:
            return node
        inputs: dict[int, Node] = {}
        seen, waiting = set(), [tensor.grad_fn]
        while waiting:
            for function, output in waiting.pop().next_functions:
                if function is None or (function, output) in seen:
                    continue
                seen.add((function, output))
                if (node := self._edges.get((function, output))) is not None:
                    inputs[node.index] = node
                else:
                    waiting.append(function)
        if not inputs:
            return None
        given = list(inputs.values())
        seen_through = product(tensor, given[0].value) if len(given) == 1 else None
        name, args = seen_through or (tensor.grad_fn.name().removesuffix("Backward"), ())
        node = self._record_unplaced(name, args, given, tensor)
        node.is_unseen = seen_through is None
        return node

    def _record_unplaced(self, name: str, args: Any, inputs: list[Node], tensor: Tensor) -> Node:
        """Records what is met where it is used, not where it was made."""
        using, self._modules = self._modules, []
        node = self._record(name, args, {}, inputs, tensor)
        self._modules = using
        return node

    def _behind_hook(self, tensor: Tensor) -> Node | None:
        """The recorded tensor that a module's full backward hook passed on as this one: it is the same, under another name."""
        function, output = tensor.grad_fn, tensor.output_nr
        while function is not None and function.name() == _BACKWARD_HOOK:
            function, output = function.next_functions[output]
        if function is tensor.grad_fn or (node := self._edges.get((function, output))) is None:
            return None
        self._known[id(tensor)] = node
        self._passed_on.append(tensor)
        return node

    def _record(self, name: str, args: Any, kwargs: Any, inputs: list[Node], tensor: Tensor) -> Node:
        edge = get_gradient_edge(tensor) if tensor.requires_grad else None
        module = self._modules[-1] if self._modules else ""
        value = tensor.detach()
        node = Node(len(self.nodes), name, module, self.in_model, args, kwargs, inputs, value, edge, tensor, _version(tensor))
        self.nodes.append(node)
        self._known[id(tensor)] = node
        if edge is not None:
            self._edges[(edge.node, edge.output_nr)] = node
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and leaf.requires_grad and id(leaf) not in self._known and not _is_unfinished(leaf):
                self.weights[id(leaf)] = leaf
        return node

    def _keep_values(self, inputs: list[Node]) -> None:
        """Copies what is about to be overwritten, other views of the same memory included."""
        storages = {node.value.untyped_storage().data_ptr() for node in inputs}
        for node in self.nodes:
            if node.value.untyped_storage().data_ptr() in storages:
                node.value = node.value.clone()

    def enter(self, module: nn.Module, _args: Any) -> None:
        self._modules.append(self._paths[id(module)])

    def leave(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        self._modules.pop()


def _is_unfinished(tensor: Tensor) -> bool:
    """Whether it is what a custom `autograd.Function` will give back as it came, and has no place in the graph yet; or another view
    that was made in there, and never gets one."""
    return tensor.requires_grad and tensor.grad_fn is None and tensor._is_view() and not torch.is_grad_enabled()


def _version(tensor: Tensor) -> int:
    """How often its memory was written to, which tensors of inference mode do not count."""
    return 0 if tensor.is_inference() else tensor._version


def _changed(tensor: Tensor, args: Any) -> bool:
    """Whether a call that returned a known tensor wrote to it: in-place calls return their first argument."""
    return bool(args) and args[0] is tensor and tensor._version > 0


@functools.cache
def _opened(func: Any) -> Callable[..., Any] | None:
    """The same function, but for its question whether somebody wants to see the call: the answer is no, and the mode sees what
    it calls. None for a function that is recorded as one call."""
    if func not in OPENED or "has_torch_function" not in func.__globals__:
        return None
    names = {**func.__globals__, "has_torch_function": lambda tensors: False}
    opened = types.FunctionType(func.__code__, names, func.__name__, func.__defaults__, func.__closure__)
    opened.__kwdefaults__ = func.__kwdefaults__
    return opened


@functools.cache
def _in_place_position(func: Any) -> int | None:
    """Position of the parameter `inplace`, where the function has one."""
    with contextlib.suppress(ValueError, TypeError):
        names = list(inspect.signature(func).parameters)
        if "inplace" in names:
            return names.index("inplace")
    return None


def _is_in_place(func: Any, args: Any, kwargs: Any) -> bool:
    name = getattr(func, "__name__", "")
    if (name.endswith("_") and not name.endswith("__")) or (name.startswith("__i") and name != "__invert__"):
        return True
    if name == "__setitem__" or "out" in kwargs:
        return True
    if (position := _in_place_position(func)) is None:
        return False
    return bool(kwargs.get("inplace", args[position] if position < len(args) else False))


def _plain_name(func: Any) -> str:
    name: str = getattr(func, "__name__", str(func))
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        for prefix in ("i", "r"):
            if name[1:] in {"add", "sub", "mul", "truediv", "matmul"} and name[0] == prefix:
                name = name[1:]
        if name == "get":  # a property: `x.T`
            name = getattr(getattr(func, "__self__", None), "__name__", name)
    return name.rstrip("_")


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module inside of `torch.compile` and DistributedDataParallel."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def trace(model: nn.Module, run: Callable[[Callable[..., Any]], tuple[Any, Tensor]], inputs: Any) -> Trace:
    """Runs the model once, forward and backward. To be called inside of `as_found`, which puts back what the pass changes.

    `run(call)` does the forward pass through `call(*args, **kwargs)` and returns output and loss; `inputs` are the tensors
    that it feeds in, in any nesting.

    Raises
    ------
    ValueError
        When the loss is not one number, or depends on no parameter.
    """
    recorder = _Recorder(model)
    # A copy that is no leaf: its gradient is the cotangent of the input, and in-place operations may write to it.
    fresh: dict[int, Tensor] = {}

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in fresh:
            copied = leaf.detach().clone()
            fresh[id(leaf)] = copied.requires_grad_().clone() if leaf.is_floating_point() else copied
        return fresh[id(leaf)]

    known = {id(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)}

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(lambda leaf: copy(leaf) if id(leaf) in known else leaf, (args, kwargs))
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                recorder.source(leaf)
        recorder.in_model = True
        try:
            return model(*args, **kwargs)
        finally:
            recorder.in_model = False

    hooks = []
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # which takes no hooks: it is one call
        hooks.append(module.register_forward_pre_hook(recorder.enter, prepend=True))
        hooks.append(module.register_forward_hook(recorder.leave, always_call=True))
    try:
        with recorder:
            output, loss = run(call)
        _expect_scalar(loss)
        return _backward(model, recorder, output, loss)
    finally:
        for hook in hooks:
            hook.remove()


def _expect_scalar(loss: Any) -> None:
    if not isinstance(loss, Tensor):
        raise ValueError(f"the loss must be a tensor of one number; loss_fn returned a {type(loss).__name__}")
    if loss.numel() != 1:
        raise ValueError(f"the loss must be one number; loss_fn returned a tensor of shape {list(loss.shape)}")
    if not loss.requires_grad:
        raise ValueError("the loss depends on no parameter that requires a gradient; is the whole model frozen?")


def _backward(model: nn.Module, recorder: _Recorder, output: Any, loss: Tensor) -> Trace:
    """Gradients at every recorded edge, parameter and weight."""
    parameters = dict(model.named_parameters())
    nodes = [node for node in recorder.nodes if node.edge is not None and node.value.is_floating_point()]
    own = {id(parameter) for parameter in parameters.values()}
    weights = [tensor for key, tensor in recorder.weights.items() if key not in own]
    trained = [parameter for parameter in parameters.values() if parameter.requires_grad]
    inner = [edge for node in nodes if (edge := node.edge) is not None] + [get_gradient_edge(w) for w in weights]
    if _has_reentrant_checkpoint(loss):
        found, own_gradients = _by_hooks(loss, inner, trained)
        forks = []
    else:
        # Gone back through again where two ways meet that both have operations.
        forks = _forks(nodes)
        # Its stub promises tensors, and leaves out the None of an edge that the loss does not depend on.
        every: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, [*inner, *map(get_gradient_edge, trained)], allow_unused=True, retain_graph=bool(forks)
        )
        found, own_gradients = list(every[: len(inner)]), list(every[len(inner) :])
    for node, gradient in zip(nodes, found, strict=False):
        node.gradient = gradient
    of_trained = {id(p): gradient for p, gradient in zip(trained, own_gradients, strict=True)}
    gradients = {name: of_trained.get(id(parameter)) for name, parameter in parameters.items()}
    of_weights: dict[int, Tensor | None] = {id(weight): gradient for weight, gradient in zip(weights, found[len(nodes) :], strict=True)}
    of_weights |= {id(parameter): gradients[name] for name, parameter in parameters.items()}
    kept = [node for node in nodes if node.gradient is not None]
    backs = {(end.index, start.index): back for end, start in forks if (back := _back(end, start)) is not None}
    unreached = recorder.unreached(loss, gradients)
    return Trace(kept, loss.detach(), output, parameters, gradients, of_weights, recorder.uses, backs, unreached)


def _forks(nodes: list[Node]) -> list[tuple[Node, Node]]:
    """Where two tensors are added or multiplied of which neither comes from the other (a skip connection with a projection, a gated
    linear unit): each of them, and where their ways part."""
    behind: dict[int, int] = {}
    by_index = {node.index: node for node in nodes}
    found = []
    for node in nodes:
        behind[node.index] = 1 << node.index
        for given in node.inputs:
            behind[node.index] |= behind.get(given.index, 0)
        if node.function not in ("add", "mul") or len(node.inputs) != 2:
            continue
        one, other = node.inputs
        common = behind.get(one.index, 0) & behind.get(other.index, 0)
        if common and not common >> one.index & 1 and not common >> other.index & 1:
            start = by_index[common.bit_length() - 1]
            if node.index - start.index > LONGEST_FORK:
                continue
            found += [(one, start), (other, start)]
    return found


def _back(end: Node, start: Node) -> Tensor | None:
    if end.edge is None or start.edge is None or end.gradient is None:
        return None
    try:
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            [end.edge], [start.edge], [end.gradient], retain_graph=True, allow_unused=True
        )
    except Exception:
        # A part of the graph that goes back once only, or a PyTorch that takes tensors alone: the block is taken whole. A function's
        # own backward pass may raise anything.
        return None
    return found[0]


def _has_reentrant_checkpoint(loss: Tensor) -> bool:
    """Whether a part of the graph is computed again by a backward pass of its own, which `torch.autograd.grad` refuses."""
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            return True
        waiting += [following for following, _ in node.next_functions]
    return False


def _by_hooks(
    loss: Tensor, edges: list[GradientEdge], trained: list[nn.Parameter]
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """The gradients of a plain `backward()`, taken on its way; what stood in `.grad` is put back."""
    found: list[Tensor | None] = [None] * len(edges)

    def keep(position: int, output: int) -> Callable[[Any], None]:
        def hook(gradients: Any) -> None:
            found[position] = gradients[output]

        return hook

    hooks = [edge.node.register_prehook(keep(i, edge.output_nr)) for i, edge in enumerate(edges)]
    before = [parameter.grad for parameter in trained]
    try:
        for parameter in trained:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        return found, [parameter.grad for parameter in trained]
    finally:
        for parameter, gradient in zip(trained, before, strict=True):
            parameter.grad = gradient
        for hook in hooks:
            hook.remove()
