"""What a pass through a model leaves behind is taken away again."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from isogain.surgery.randomness import kept_random


@contextlib.contextmanager
def as_found(model: nn.Module) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Inside, gradients are on. After it, the buffers and other tensors that the model's modules hold besides their parameters,
    the random generators and the gradient mode are as they were. It gives a context for what calls other modules, as a loss
    function may: inside of that, they are left as found too.

    Raises `ValueError` before anything runs where a module has no shapes yet, because a pass would give it some for good.
    """
    kept: dict[int, _State] = {}
    thread = threading.get_ident()

    def keep(module: nn.Module, _args: Any = None) -> None:
        if threading.get_ident() == thread and id(module) not in kept:
            for path, each in module.named_modules():
                kept.setdefault(id(each), _State(each, path))

    @contextlib.contextmanager
    def others() -> Iterator[None]:
        hook = register_module_forward_pre_hook(keep)
        try:
            yield
        finally:
            hook.remove()

    keep(model)
    try:
        with kept_random(), torch.enable_grad():
            yield others
    finally:
        with contextlib.ExitStack() as every:  # one that fails keeps no other from it
            for state in kept.values():
                every.callback(state.put_back)


#: What every module has; what stands beside it is its own.
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class _State:
    """The tensors of one module but its parameters, also those in tuples, lists and mappings."""

    def __init__(self, module: nn.Module, path: str) -> None:
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and is_lazy(tensor):
                name = f"{path}.{name}".lstrip(".")
                raise ValueError(f"{name} has no shape yet: run one batch through the model first, `model(inputs)`")
        self.module = module
        self.buffers, self.attributes = dict(module._buffers), _own_attributes(module)
        # Such as the weight that `torch.nn.utils.weight_norm` computes before each call, a cache, a state that goes on.
        self.names = _names_of_tensors(module)
        self.contents = [(held, copy.copy(held)) for held in self.attributes.values() if isinstance(held, list | dict)]
        leaves = tree_leaves([*self.buffers.values(), *(self.attributes[name] for name in self.names)])
        self.values = [(leaf, leaf.detach().clone()) for leaf in leaves if isinstance(leaf, Tensor) and not leaf.is_meta]

    @torch.no_grad()
    def put_back(self) -> None:
        for tensor, value in self.values:
            # Sparse tensors cannot be compared, and nobody writes into them.
            if tensor.layout == torch.strided and not (tensor.shape == value.shape and torch.equal(tensor, value)):
                # One that holds a NaN is like no other, and may be one that cannot be resized.
                (tensor if tensor.shape == value.shape else tensor.resize_(value.shape)).copy_(value)
        if not isinstance(self.module, torch.jit.ScriptModule):  # whose buffers are written to, and never replaced
            self.module._buffers.clear()
            self.module._buffers.update(self.buffers)
        for held, content in self.contents:
            if isinstance(held, list):
                held[:] = content
            else:
                held.clear()
                held.update(content)
        for name in self.names | _names_of_tensors(self.module):
            if name in self.attributes:
                vars(self.module)[name] = self.attributes[name]
            else:
                del vars(self.module)[name]


def _own_attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}


def _names_of_tensors(module: nn.Module) -> set[str]:
    """Of the attributes, neither parameters nor buffers, that are a tensor or hold one."""
    own = _own_attributes(module).items()
    return {name for name, value in own if any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))}
