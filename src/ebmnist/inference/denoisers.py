"""Denoisers: the mean of a clean image given a noisy one, which is all that bounds and flows ask of a model."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.energies.freezing import frozen
from ebmnist.energies.levels import at_level
from ebmnist.errors import Unmeasurable
from ebmnist.inference.scoring import BATCH_SIZE
from ebmnist.sampling.base import Kernel, NoiseSchedule
from ebmnist.sampling.samples import box_of


class Denoiser(Protocol):
    """D(y, σ): the mean of x given y = x + σξ, ξ ~ N(0, I), or an estimate of it."""

    def __call__(self, y: Tensor, sigma: Tensor, /) -> Tensor:
        """Return D of each image, (B, *shape); `sigma`, (B,), is the noise of each, in pixels."""
        ...


@dataclass(frozen=True)
class EnergyDenoiser:
    """D(y) = y − ∇E(c)/κ, c = clamp(y): the image itself tells its noise (docs/concepts/annealing.md).

    An energy that is told the noise gives y − σ²∇E(c, σ) (`energies.levels.at_level`).

    Raises:
        Unmeasurable: when called, if a gradient is NaN or infinite.
    """

    energy: Energy
    curvature: float = 1.0
    """κ > 0, in units of energy."""
    box: tuple[float, float] | None = None
    """Where the energy knows images; None for the whole space."""

    def __call__(self, y: Tensor, sigma: Tensor, /) -> Tensor:
        """Return D(y, σ)."""
        c = y if self.box is None else y.clamp(*self.box)
        parts = zip(torch.split(c, BATCH_SIZE), torch.split(sigma, BATCH_SIZE), strict=True)
        grad = torch.cat([energy_and_grad(at_level(self.energy, s), part)[1] for part, s in parts])
        if not grad.isfinite().all():
            raise Unmeasurable("∇E of noisy images is NaN or infinite; the energy has diverged")
        return y - grad / self.curvature


def denoiser_of(energy: Energy, kernel: Kernel) -> EnergyDenoiser:
    """Return the denoiser of an energy that was trained with `kernel`.

    An energy of one temperature has no κ, so the length of its step means nothing until it is fitted (`Scaled`).
    """
    curvature = kernel.curvature if isinstance(kernel, NoiseSchedule) else 0.0
    return EnergyDenoiser(frozen(energy), curvature or 1.0, box_of(kernel))


@dataclass(frozen=True)
class Scaled:
    """y + c(σ)·(D(y, σ) − y): a denoiser whose step is scaled, c piecewise linear in log σ and constant beyond."""

    denoiser: Denoiser
    sigmas: tuple[float, ...]
    """Knots, rising, > 0."""
    factors: tuple[float, ...]
    """c at the knots."""

    def __call__(self, y: Tensor, sigma: Tensor, /) -> Tensor:
        """Return the scaled estimate."""
        knots, factors = y.new_tensor(self.sigmas).log(), y.new_tensor(self.factors)
        at = sigma.to(y).log().clamp(knots[0], knots[-1])
        end = torch.searchsorted(knots, at).clamp(1, len(knots) - 1)
        share = (at - knots[end - 1]) / (knots[end] - knots[end - 1])
        factor = torch.lerp(factors[end - 1], factors[end], share)
        return y + per_sample(factor, y) * (self.denoiser(y, sigma) - y)
