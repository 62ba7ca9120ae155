"""One description of a call from which both the call and its source text are made, so that what is shown is what is
done."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

HOME = __name__.rpartition(".")[0]


class Old:
    """Stands for the module that is replaced, in the arguments of a `Call`."""

    def __repr__(self) -> str:
        return "old"


OLD = Old()


class Call:
    """A function or class, and what it is called with; arguments may be calls, `OLD`, or plain values."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        self.function, self.arguments, self.keywords = function, arguments, keywords

    def __call__(self, *first: Any, old: Any = None) -> Any:
        """Calls with `first` in front of the arguments, and `old` in the place of `OLD`."""

        def value(argument: Any) -> Any:
            return argument(old=old) if isinstance(argument, Call) else old if argument is OLD else argument

        keywords = {key: value(argument) for key, argument in self.keywords.items()}
        return self.function(*first, *map(value, self.arguments), **keywords)

    def text(self, *first: str) -> str:
        """The same as source, `first` being source itself."""
        parts = [
            *first,
            *map(_text, self.arguments),
            *(f"{key}={_text(value)}" for key, value in self.keywords.items()),
        ]
        return f"{name_of(self.function)}({', '.join(parts)})"

    def functions(self) -> Iterator[Callable[..., Any]]:
        """Everything that is called, inner calls included."""
        yield self.function
        for argument in (*self.arguments, *self.keywords.values()):
            if isinstance(argument, Call):
                yield from argument.functions()

    def __repr__(self) -> str:
        return self.text()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self.text() == other.text()

    def __hash__(self) -> int:
        return hash(self.text())


def _text(argument: Any) -> str:
    # The built-in function's repr, `<built-in method ...>`, is no source; torch's data types have one that is.
    return argument.text() if isinstance(argument, Call) else repr(argument)


def name_of(function: Callable[..., Any]) -> str:
    """The name under which source with `import torch` and `from torch import nn` finds it."""
    module, name = function.__module__, function.__name__
    if module == "torch.nn.init":
        return f"nn.init.{name}"
    if module.startswith("torch.nn.modules"):
        return f"nn.{name}"
    return name


def sources(functions: Iterable[Callable[..., Any]]) -> list[str]:
    """Source of this package's own functions and classes among them, and of those that they call; callees first."""
    found: dict[str, str] = {}

    def visit(function: Callable[..., Any]) -> None:
        if not function.__module__.startswith(HOME) or function.__name__ in found:
            return
        for name in _names(function):
            used = inspect.getmodule(function).__dict__.get(name)
            if isinstance(used, type | types.FunctionType) and used is not function:
                visit(used)
        found[function.__name__] = inspect.getsource(function).rstrip()

    for function in functions:
        visit(function)
    return list(found.values())


def _names(function: Callable[..., Any]) -> set[str]:
    """Global names that a function, or any method of a class, reads."""
    if isinstance(function, type):
        methods = [method for method in vars(function).values() if isinstance(method, types.FunctionType)]
        return {name for method in methods for name in _names(method)} | {base.__name__ for base in function.__bases__}

    def of(code: types.CodeType) -> set[str]:
        inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        return set(code.co_names).union(*map(of, inner))

    return of(function.__code__)
