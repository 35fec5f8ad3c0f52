"""How a network's energy reaches the C++ of `native/` and comes back through autograd."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ebmnist.native import Packed


class Packable(Protocol):
    """An energy that can be handed to the C++."""

    def packed(self, *, rough: bool) -> Packed | None:
        """Its weights as the C++ reads them; None where it has to be computed in PyTorch.

        `rough` is for chains walked in C++ and for weight gradients, which may take bfloat16 where that is faster;
        energies and slopes that are read as numbers are not rough.
        """
        ...


def packed_of(energy: object, *, rough: bool) -> Packed | None:
    """`energy.packed(rough=…)` if there is such a thing."""
    ask = getattr(energy, "packed", None)
    return None if ask is None else ask(rough=rough)


RECORDED = 512  # images whose records are held at once: 60 MB at width 32


class NativeEnergy(torch.autograd.Function):
    """E(x), differentiable once: in x, or in the weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed, rough: bool, *weights: Tensor) -> Tensor:
        """E(x), (B,); `weights` are those that `Packed.weight_grad` answers for, in its order.

        A rough value leaves its record for the gradient, which then computes nothing twice.
        """
        ctx.packed, ctx.needs, ctx.shapes = packed, ctx.needs_input_grad, [w.shape for w in weights]
        ctx.recorded = rough and any(ctx.needs[1:]) and not ctx.needs[0] and len(x) <= RECORDED
        if ctx.needs[0]:
            # Value and gradient come together, nearly for the price of the gradient.
            value, grad = packed.energy_and_grad(x)
            ctx.save_for_backward(grad)
            return value
        if ctx.recorded:
            value, record = packed.record(x)
            ctx.save_for_backward(record)
            return value
        if any(ctx.needs):
            ctx.save_for_backward(x)
        return packed.energy(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """∂/∂x, or ∂/∂θ: the caller asks for one of the two."""
        (saved,) = ctx.saved_tensors
        if ctx.needs[0]:
            return saved * upstream.view(-1, *[1] * (saved.dim() - 1)), None, None, *[None] * len(ctx.shapes)
        grads = ctx.packed.weight_grad(saved, upstream) if ctx.recorded else _by_parts(ctx.packed, saved, upstream)
        return None, None, None, *(g.view(s) for g, s in zip(grads, ctx.shapes, strict=True))


def _by_parts(packed: Packed, x: Tensor, coefficients: Tensor) -> list[Tensor]:
    """As `Packed.weight_grad`, of images themselves; few records are held at a time."""
    parts = zip(torch.split(x, RECORDED), torch.split(coefficients, RECORDED), strict=True)
    grads = [packed.weight_grad(packed.record(images)[1], c) for images, c in parts]
    return [torch.stack(same).sum(0) for same in zip(*grads, strict=True)]
