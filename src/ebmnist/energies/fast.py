"""How a network's energy reaches the C++ of `native/` and comes back through autograd."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ebmnist.energies.base import per_sample
from ebmnist.native import NativeNet


class HasNativeNet(Protocol):
    """An energy that can be handed to the C++."""

    def native_net(self, *, low_precision: bool) -> NativeNet | None:
        """Its weights as the C++ reads them; None where it has to be computed in PyTorch.

        `low_precision` is for chains in C++ and for weight gradients, which may take bfloat16 where that is faster.
        Energies and slopes that are read as numbers are in float32.
        """
        ...


def native_net_of(energy: object, *, low_precision: bool) -> NativeNet | None:
    """`energy.native_net(low_precision=…)` if there is such a thing, and it speaks for what a call of the energy does.

    It does not where a hook listens, or where a subclass or the object has a `forward` of its own.
    """
    ask = getattr(energy, "native_net", None)
    return ask(low_precision=low_precision) if ask is not None and _speaks_for_calls(energy) else None


def _speaks_for_calls(energy: object) -> bool:
    if not isinstance(energy, nn.Module):
        return True
    hooks = energy._forward_hooks, energy._forward_pre_hooks, energy._backward_hooks, energy._backward_pre_hooks
    names = (vars(kind) for kind in type(energy).__mro__)
    first = next(seen for seen in names if not seen.keys().isdisjoint({"forward", "__call__", "native_net"}))
    return "native_net" in first and "forward" not in vars(energy) and not any(hooks)


class _LaidOut(NamedTuple):
    weights: list[Tensor]  # as they were
    facts: tuple[Hashable, ...]
    native_net: NativeNet


# Of each energy, and in bfloat16 or not, what was last handed to the C++.
_LAST: WeakKeyDictionary[nn.Module, dict[bool, _LaidOut]] = WeakKeyDictionary()


def laid_out(
    energy: nn.Module,
    weights: list[Tensor],
    facts: tuple[Hashable, ...],
    lay_out: Callable[[list[Tensor]], NativeNet],
    *,
    bf16: bool,
    keep: bool,
) -> NativeNet:
    """Return `lay_out(weights)`, or what it returned last, where `facts` and every weight are still the same.

    Weights are compared by value, in a fraction of the time: no counter tells what NumPy or `p.data` has written.
    `keep` is for the calls to come.
    """
    last = _LAST.get(energy, {}).get(bf16)
    if last is not None and last.facts == facts and all(map(torch.equal, last.weights, weights)):
        return last.native_net
    native_net = lay_out(weights)
    if keep:
        _LAST.setdefault(energy, {})[bf16] = _LaidOut([w.detach().clone() for w in weights], facts, native_net)
    return native_net


RECORDED = 512  # images whose records are held at once: 60 MB at width 32


def traced() -> bool:
    """Whether the call is being compiled, exported or traced: what is asked of values, or of sizes, is then lost."""
    return torch.compiler.is_compiling() or bool(torch._C._get_tracing_state())


def followed() -> bool:
    """Whether somebody follows what is done to tensors, who would not see what is done outside of PyTorch.

    They are `torch.compile`, export, tracing, `torch.func`, forward derivatives and dispatch modes (fake tensors).
    """
    return (
        traced()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch.autograd.forward_ad._current_level >= 0
    )


def plain(t: Tensor) -> bool:
    """Whether `t` is float32 numbers in memory and nothing else: no subclass, no other layout, no pending sign."""
    return (
        type(t) in (Tensor, nn.Parameter)
        and t.dtype == torch.float32
        and t.layout == torch.strided
        and not (t.is_nested or t.is_neg() or t._is_zerotensor() or torch._C._functorch.is_legacy_batchedtensor(t))
    )


class NativeEnergy(torch.autograd.Function):
    """E(x), differentiable in x or in the weights: once by the C++, more often by the same energy in PyTorch."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        native_net: NativeNet,
        low_precision: bool,
        in_torch: Callable[..., Tensor],
        *weights: Tensor,
    ) -> Tensor:
        """E(x), (B,).

        `weights` are those that `NativeNet.weight_grad` answers for, in its order; `in_torch(x, *weights)` is the same
        energy, where gradients are to be differentiated. With `low_precision` a value
        leaves its record for the weight gradient, so nothing is computed twice.
        """
        ctx.native_net, ctx.in_torch, ctx.needs = native_net, in_torch, ctx.needs_input_grad
        ctx.recorded = low_precision and any(ctx.needs[1:]) and not ctx.needs[0] and len(x) <= RECORDED
        value, kept = None, None
        if ctx.needs[0]:
            # Value and gradient come together, nearly for the price of the gradient.
            value, kept = native_net.energy_and_grad(x)
        elif ctx.recorded:
            value, kept = native_net.record(x)
        if any(ctx.needs):
            ctx.save_for_backward(kept, x, *weights)
        return native_net.energy(x) if value is None else value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """∂/∂x, or ∂/∂θ: the caller asks for one of the two."""
        kept, x, *weights = ctx.saved_tensors
        if torch.is_grad_enabled() or followed() or not plain(upstream):
            return _again(ctx, upstream, x, *weights)
        if ctx.needs[0]:
            return kept * per_sample(upstream, kept), None, None, None, *[None] * len(weights)
        grads = ctx.native_net.weight_grad(kept, upstream) if ctx.recorded else _by_parts(ctx.native_net, x, upstream)
        return None, None, None, None, *(g.view(w.shape) for g, w in zip(grads, weights, strict=True))


def _again(ctx: Any, upstream: Tensor, x: Tensor, *weights: Tensor) -> tuple[Tensor | None, ...]:
    """The same gradients by PyTorch, which can differentiate them in turn."""
    inputs = {0: x} | {i + 4: w for i, w in enumerate(weights)}
    wanted = [i for i in inputs if ctx.needs[i]]
    create = torch.is_grad_enabled()
    with torch.autocast("cpu", enabled=False):
        with torch.enable_grad():
            value = ctx.in_torch(x, *weights)
        grads = torch.autograd.grad(value, [inputs[i] for i in wanted], upstream, create_graph=create)
    found = dict(zip(wanted, grads, strict=True))
    return tuple(found.get(i) for i in range(len(weights) + 4))


def _by_parts(native_net: NativeNet, x: Tensor, coefficients: Tensor) -> list[Tensor]:
    """As `NativeNet.weight_grad`, of images themselves; few records are held at a time."""
    parts = zip(torch.split(x, RECORDED), torch.split(coefficients, RECORDED), strict=True)
    grads = [native_net.weight_grad(native_net.record(images)[1], c) for images, c in parts]
    return [torch.stack(same).sum(0) for same in zip(*grads, strict=True)]
