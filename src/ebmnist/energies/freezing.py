"""A copy of an energy whose weights nothing moves: what chains run on, so that they never touch the original."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils import parametrize

E = TypeVar("E")

# Of each module of a frozen copy, what was computed from its weights alone. A deep copy of one is no key here.
_MEMOS: WeakKeyDictionary[nn.Module, dict[Any, Any]] = WeakKeyDictionary()


def frozen(energy: E) -> E:
    """Return a copy of an energy that has the weights of this moment for good, in evaluation mode.

    Weights and buffers are copied and need no gradient. A parametrised weight, such as W/σ of spectral normalisation,
    becomes a plain one, computed once. The original is not touched, and may be trained or frozen elsewhere meanwhile.
    A frozen copy, and a callable that is no module, come back as they are.
    """
    if not isinstance(energy, nn.Module) or energy in _MEMOS:
        return energy
    with torch.inference_mode(mode=False), torch.no_grad():  # of ordinary tensors, wherever it is made
        return cast(E, _module(energy, {}))


def parametrised(energy: object) -> bool:
    """Whether an energy has a weight that is computed from others: in training mode, to read it may move them."""
    return isinstance(energy, nn.Module) and any("parametrizations" in m._modules for m in energy.modules())


def memo_of(module: nn.Module) -> dict[Any, Any] | None:
    """Where a frozen copy keeps what follows from its weights alone; None for any other module."""
    return _MEMOS.get(module)


@contextmanager
def unmoved(energy: nn.Module) -> Iterator[None]:
    """Let a module keep what follows from its weights alone, as a frozen copy does; nothing may move them meanwhile."""
    made = [module for module in energy.modules() if module not in _MEMOS]
    _MEMOS.update({module: {} for module in made})
    try:
        with parametrize.cached():  # one step of spectral normalisation's power iteration, as in one call
            yield
    finally:
        for module in made:
            del _MEMOS[module]


def _module(module: Any, done: dict[int, Any], *, shared: bool = False) -> Any:
    """The copy of a module and of all below it, whose tensors may be `shared`; what stands in two places stays one."""
    if id(module) in done:
        return done[id(module)]
    if isinstance(module, torch.jit.ScriptModule):
        return done.setdefault(id(module), _script(module))
    module = module._modules.get("_orig_mod", module)  # torch.compile's wrapper calls the original, whatever it holds
    twin: Any = object.__new__(parametrize.type_before_parametrizations(module))
    done[id(module)] = twin
    own = twin.__dict__  # past Module.__setattr__, which takes ten times as long
    own.update({name: _own(value, module, twin) for name, value in module.__dict__.items()})
    own.pop("_compiled_call_impl", None)  # likewise of `module.compile()`
    own["training"] = False
    for name, p in module._parameters.items():
        if p is not None and id(p) not in done:
            done[id(p)] = p if shared else nn.Parameter(p.clone(), requires_grad=False)
        twin._parameters[name] = done.get(id(p))
    for name, b in module._buffers.items():
        if b is not None and id(b) not in done:
            done[id(b)] = b if shared else b.clone()
        twin._buffers[name] = done.get(id(b))
    if parametrize.is_parametrized(module):
        for name, compute in twin._modules.pop("parametrizations").items():
            value = _module(compute, {}, shared=True)()  # in evaluation mode, where no power iteration moves
            twin._parameters[name] = nn.Parameter(value.clone(), requires_grad=False)
    own["_modules"] = {n: None if m is None else _module(m, done, shared=shared) for n, m in twin._modules.items()}
    _MEMOS[twin] = {}
    return twin


def _script(module: Any) -> Any:
    """A copy of what `torch.jit` made, whose parts are not Python's."""
    twin = copy.deepcopy(module).eval()
    for p in twin.parameters():
        p.requires_grad_(False)
    return twin


def _own(value: Any, module: nn.Module, twin: nn.Module) -> Any:
    """An attribute for the copy: containers, hooks among them, are its own."""
    if isinstance(value, MethodType) and value.__self__ is module:
        return MethodType(value.__func__, twin)
    return value.copy() if isinstance(value, (dict, list, set)) else value
