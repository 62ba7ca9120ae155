"""What a model does with one batch: which layer is called when, which activation follows it, what keeps its shape.

Seen by module hooks and, for functions that are called directly (`torch.relu(x)`), by a torch function mode. The batch
runs in evaluation mode without gradients, and neither the model nor the global generators are changed by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from isogain.surgery.modules import run
from isogain.surgery.names import functional_activation, is_norm, module_name
from isogain.surgery.randomness import kept_random

# RNN, LSTM and GRU, and their cells.
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)

# What multiplies by weights; `nn.modules.conv._ConvNd` is the base of all convolutions, transposed ones included.
_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding, nn.MultiheadAttention, *_RECURRENT)

_NORM_FUNCTIONS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}
_SOFTMAX = {"softmax", "log_softmax"}
_SOFTMAXES = (nn.Softmax, nn.LogSoftmax)


@dataclass(eq=False)
class Layer:
    """A weighted layer, in the order of first calls."""

    path: str
    module: nn.Module
    following: str = "linear"
    """The activation that reads its output, as the core writes it; `linear` where another layer comes first."""
    follower: Activation | None = None
    normed: bool = False
    """Whether a normalisation stands between it and what follows."""
    calls: int = 0
    keeps_shape: bool = False
    output_dimensions: int = 0


@dataclass(eq=False)
class Activation:
    """One call of an activation."""

    name: str
    module: str | None
    """Path of the activation's own module; `None` for a function called by `inside`."""
    inside: str
    sources: frozenset[str]
    """Layers whose output flows here without passing another layer."""


@dataclass
class Layout:
    """What was seen."""

    layers: list[Layer] = field(default_factory=list)
    activations: list[Activation] = field(default_factory=list)
    softmaxes: list[Activation] = field(default_factory=list)
    """Kept apart: in the middle of a network they are attention, at its end an output activation."""
    heads: set[str] = field(default_factory=set)
    keeps_shape: dict[str, bool] = field(default_factory=dict)
    """For every module that was called with a tensor and gave one: whether each call kept its shape and type."""
    outputs: Any = None

    def hidden(self) -> list[Layer]:
        """All layers but heads, embeddings, attention and recurrent ones."""
        whole = (nn.Embedding, nn.MultiheadAttention, *_RECURRENT)
        return [x for x in self.layers if x.path not in self.heads and not isinstance(x.module, whole)]

    def hidden_activations(self) -> list[Activation]:
        """Those that do not come after a head."""
        return [activation for activation in self.activations if not activation.sources & self.heads]

    def output_activations(self) -> list[Activation]:
        """Those between a head and the output."""
        return [last for last in (*self.activations, *self.softmaxes) if last.sources & self.heads]

    def calls_of(self, module: str) -> int:
        """How often an activation's module is called in one forward pass."""
        return sum(activation.module == module for activation in self.activations)


def is_weighted(module: nn.Module) -> bool:
    """Whether a module is a layer with weights."""
    return isinstance(module, _WEIGHTED) or is_transposed(module)


def is_recurrent(module: nn.Module) -> bool:
    """Whether it has one weight for its inputs and one for its state, the blocks of its gates one below the other."""
    return isinstance(module, _RECURRENT)


def is_transposed(module: nn.Module) -> bool:
    """Whether it is the `Conv1D` of the transformers library: a linear layer whose weight is `[inputs, outputs]`."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, and no trace of it after: the modes of all modules and the random state
    return."""
    modes = [(module, module.training) for module in model.modules()]
    with kept_random(), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def observe(model: nn.Module, inputs: Any) -> Layout:
    """Runs one batch of inputs through the model and tells what was called."""
    watch = _Watch(model)
    with untouched(model), watch.hooked():
        with watch:
            outputs = run(model, inputs)
    return watch.finished(outputs)


def assume(model: nn.Module) -> Layout:
    """The layout of a model that calls its modules one after the other in the order in which they are registered: the
    best guess where no batch is given."""
    layout, last = Layout(), None
    for path, module in model.named_modules():
        if is_weighted(module):
            last = Layer(path, module, calls=1)
            layout.layers.append(last)
        elif (name := module_name(module)) is not None:
            activation = Activation(name, path, path, frozenset({last.path} if last else ()))
            layout.activations.append(activation)
            if last is not None and last.follower is None:
                last.following, last.follower = name, activation
        elif is_norm(module) and last is not None and last.follower is None:
            last.normed = True
    layout.heads = {layer.path for layer in layout.layers[-1:]}
    return layout


@dataclass(frozen=True)
class _Label:
    """Where a tensor comes from."""

    pending: frozenset[str] = frozenset()
    """Layers whose follower is not known yet."""
    sources: frozenset[str] = frozenset()
    normed: bool = False


class _Watch(TorchFunctionMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.layout = Layout()
        self.by_path: dict[str, Layer] = {}
        self.labels: dict[int, _Label] = {}
        # Every labelled tensor is kept until the end: the identity of a freed one could be given again.
        self.kept: list[Tensor] = []
        self.stack: list[tuple[str, nn.Module]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = list(tensors_in(result))
        if outputs:
            label = self.joined([*args, *(kwargs or {}).values()])
            name = getattr(func, "__name__", "")
            activation = functional_activation(name, args, kwargs or {})
            if activation is not None:
                label = self.activated(activation, label)
            elif name in _NORM_FUNCTIONS:
                label = self.normed(label)
            elif name in _SOFTMAX:
                self.layout.softmaxes.append(self.called("softmax", label, isinstance(self.top()[1], _SOFTMAXES)))
            self.mark(outputs, label)
        return result

    def top(self) -> tuple[str, nn.Module]:
        return self.stack[-1] if self.stack else ("", self.model)

    def called(self, name: str, label: _Label, by_own_module: bool) -> Activation:
        path = self.top()[0]
        return Activation(name, path if by_own_module else None, path, label.sources)

    def joined(self, values: Iterable[Any]) -> _Label:
        labels = [self.labels[id(tensor)] for tensor in tensors_in(list(values)) if id(tensor) in self.labels]
        return _Label(
            frozenset().union(*(label.pending for label in labels)),
            frozenset().union(*(label.sources for label in labels)),
            any(label.normed for label in labels),
        )

    def mark(self, tensors: Iterable[Tensor], label: _Label) -> None:
        for tensor in tensors:
            self.labels[id(tensor)] = label
            self.kept.append(tensor)

    def activated(self, name: str, label: _Label) -> _Label:
        activation = self.called(name, label, module_name(self.top()[1]) is not None)
        self.layout.activations.append(activation)
        for layer in (self.by_path[path] for path in label.pending):
            if layer.follower is None:
                layer.following, layer.follower = name, activation
        return _Label(sources=label.sources)

    def normed(self, label: _Label) -> _Label:
        for path in label.pending:
            self.by_path[path].normed = True
        return _Label(label.pending, label.sources, normed=True)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles = []
        for path, module in self.model.named_modules():

            def before(module: nn.Module, args: Any, path: str = path) -> None:
                self.stack.append((path, module))

            def after(module: nn.Module, args: Any, kwargs: Any, output: Any, path: str = path) -> None:
                self.stack.pop()
                self.returned(path, module, [*args, *kwargs.values()], output)

            handles.append(module.register_forward_pre_hook(before))
            handles.append(module.register_forward_hook(after, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def returned(self, path: str, module: nn.Module, inputs: list[Any], output: Any) -> None:
        first = next(tensors_in(inputs), None)
        if isinstance(first, Tensor) and isinstance(output, Tensor):
            same = first.shape == output.shape and first.dtype == output.dtype
            self.layout.keeps_shape[path] = same and self.layout.keeps_shape.get(path, True)
        if is_weighted(module):
            layer = self.by_path.get(path)
            if layer is None:
                layer = self.by_path[path] = Layer(path, module)
                self.layout.layers.append(layer)
            layer.calls += 1
            layer.keeps_shape = self.layout.keeps_shape.get(path, False)
            outputs = list(tensors_in(output))
            layer.output_dimensions = outputs[0].ndim
            self.mark(outputs, _Label(frozenset({path}), frozenset({path})))
        elif is_norm(module):
            # A user's own normalisation calls no function that is known as one.
            self.mark(tensors_in(output), self.normed(self.joined([output])))

    def finished(self, outputs: Any) -> Layout:
        order = {layer.path: place for place, layer in enumerate(self.layout.layers)}
        for tensor in tensors_in(outputs):
            sources = self.labels.get(id(tensor), _Label()).sources
            if sources:
                self.layout.heads.add(max(sources, key=order.__getitem__))
        self.layout.outputs = outputs
        return self.layout


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
