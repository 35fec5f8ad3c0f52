"""What an energy is, and the two ways samplers use one: with frozen weights, and with its input gradient."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebmnist.energy.precision import in_full


class Energy(Protocol):
    """A scalar per sample: E(x), low where x is likely.

    Any callable from (B, *shape) to (B,) is one; the trainable ones are `nn.Module`s. One that asks nothing of the
    host, and so is the same kernels at every call, may say `capturable = True`: on a GPU its chains are then replayed
    from a graph (`sampling.graphed`). A subclass that does look at values there says False.
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """Return the energy of each sample, (B, *shape) -> (B,)."""
        ...


def energy_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E(x), (B,), and ∂E/∂x, (B, *shape), both detached; no parameter receives a gradient."""
    x = x.detach().requires_grad_()
    with torch.enable_grad(), in_full(x.device):
        value = energy(x)
        (grad,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), grad


@contextmanager
def frozen(energy: Energy) -> Iterator[None]:
    """Hold an energy's weights fixed for the length of a chain.

    Evaluation mode (no power iteration), no weight gradients, and all that follows from the weights alone, W/σ for
    spectral normalisation and the copy that the C++ reads, made once for the whole block instead of once per step.
    Afterwards all is as before.
    """
    if not isinstance(energy, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in energy.modules()]
    trainable = [p for p in energy.parameters() if p.requires_grad]
    keepers = [module for module in energy.modules() if getattr(module, "kept", ...) is None]
    energy.eval()
    for p in trainable:
        p.requires_grad_(False)
    for keeper in keepers:
        keeper.kept = {}  # type: ignore[assignment]
    try:
        with parametrize.cached():
            yield
    finally:
        for keeper in keepers:
            keeper.kept = None  # type: ignore[assignment]
        for p in trainable:
            p.requires_grad_(True)
        for module, training in modes:
            module.training = training
