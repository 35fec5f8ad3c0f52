"""What an energy is, and how samplers ask it for its slope."""

from itertools import chain
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ebmnist.energies.freezing import frozen, memo_of
from ebmnist.energies.precision import in_full
from ebmnist.errors import BadInput


class Energy(Protocol):
    """A scalar per sample: E(x), low where x is likely.

    Any callable from (B, *shape) to (B,) is one; the trainable ones are `nn.Module`s. One that asks nothing of the
    host, and so is the same kernels at every call, may say `capturable = True`: on a GPU its chains are then replayed
    from a graph (`sampling.graphed`). A subclass that does look at values there says False.
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """Return the energy of each sample, (B, *shape) -> (B,)."""
        ...


class HasFeatures(Protocol):
    """An energy that is read off the hidden features of a network."""

    def features(self, x: Tensor) -> Tensor | None:
        """Return the last hidden layer before its activation, (B, 1, 28, 28) -> (B, n); None where there is none."""
        ...


def features_of(energy: object, x: Tensor) -> Tensor | None:
    """Return the hidden features that an energy has of images, (B, 1, 28, 28) -> (B, n); None if it has none."""
    ask = getattr(energy, "features", None)
    return None if ask is None else cast(HasFeatures, energy).features(x)


def energy_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E(x), (B,), and ∂E/∂x, (B, *shape), both detached; no parameter receives a gradient.

    It does so inside `torch.no_grad` and `torch.inference_mode` too, and for tensors and energies made there.

    Raises:
        BadInput: E(x) is not (B,), or has no gradient in x.
    """
    with torch.inference_mode(mode=False), torch.enable_grad(), in_full(x.device):
        x = x.clone() if x.is_inference() else x
        x = x.detach().requires_grad_()
        value = _differentiable(energy)(x)
        if value.shape != x.shape[:1]:
            shapes = f"{tuple(value.shape)} for x of {tuple(x.shape)}"
            raise BadInput(f"E(x): an energy gives one number for each of the batch, (B,), not {shapes}")
        if not value.requires_grad:
            raise BadInput("E(x): the energy has no gradient in x; compute it from x, without detach or no_grad")
        with torch.autocast(x.device.type, enabled=False):  # somebody's is for forward passes
            (grad,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), grad


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """Return a value of each sample, (B,), shaped to be broadcast over `x`, (B, *shape): (B, 1, …, 1)."""
    return values.view(-1, *[1] * (x.dim() - 1))


def _differentiable(energy: Energy) -> Energy:
    """The energy itself, or a frozen copy of one whose weights autograd refuses: those made in inference mode."""
    if not isinstance(energy, nn.Module) or memo_of(energy) is not None:
        return energy
    inference = any(t.is_inference() for t in chain(energy.parameters(), energy.buffers()))
    return frozen(energy) if inference else energy
