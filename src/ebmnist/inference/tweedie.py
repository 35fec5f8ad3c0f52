"""Tweedie's formula for any energy: one step along its gradient, whose length validation images say."""

import torch
from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.freezing import frozen
from ebmnist.errors import Unmeasurable
from ebmnist.random import AnyRng

Box = tuple[float, float] | None


def tweedie(energy: Energy, y: Tensor, scale: float, *, clamp: Box = (0.0, 1.0)) -> Tensor:
    """Return c − scale·∇E(c), c = clamp(y), (B, *shape): one step, not clamped.

    With scale = σ²/T it is Tweedie's E[x|y] = y + σ²∇log p(y) (Robbins 1956; Efron 2011) if exp(−E/T) is the density
    of *noisy* images. It is taken at the clamped image because an energy knows no others than its chains saw.
    """
    c = _clamped(y, clamp)
    return c - scale * _grad(energy, c)


def choose_scale(energy: Energy, clean: Tensor, sigma: float, *, rng: AnyRng, clamp: Box = (0.0, 1.0)) -> float:
    """Return the scale ≥ 0 of least squared error on `clean`, validation images noised at σ: Σ⟨c − x, ∇E⟩ / Σ‖∇E‖².

    Raises:
        Unmeasurable: ∇E is zero or not finite.
    """
    c = _clamped(add_noise(clean, sigma, rng), clamp)
    grad = _grad(energy, c)
    scale = float(((c - clean) * grad).double().sum() / grad.double().square().sum())
    if scale != scale:
        raise Unmeasurable("∇E at noisy images is zero or NaN: there is no step to take")
    return max(scale, 0.0)


def _clamped(y: Tensor, clamp: Box) -> Tensor:
    return y if clamp is None else y.clamp(*clamp)


def _grad(energy: Energy, y: Tensor) -> Tensor:
    """Return ∇E, (B, *shape)."""
    energy = frozen(energy)
    return torch.cat([energy_and_grad(energy, part)[1] for part in torch.split(y, 500)])
