"""Denoisers: the mean of a clean image given a noisy one, which is all that bounds and flows ask of a model."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.energies.freezing import frozen
from ebmnist.energies.levels import at_level
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.inference.scoring import BATCH_SIZE
from ebmnist.random import Purpose, Stream
from ebmnist.sampling.base import Kernel, is_denoiser
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.langevin import Langevin
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

    D is the gradient of ‖y‖²/2 − E(y)/κ. So its Jacobian J is symmetric, Jᵀv = Jv, and a finite difference gives both.

    Raises:
        Unmeasurable: when called, if a gradient is NaN or infinite.
    """

    energy: Energy
    curvature: float = 1.0
    """κ > 0, in units of energy."""
    box: tuple[float, float] | None = None
    """Where the energy knows images; None for the whole space."""
    low_precision: bool = False
    """Compute as chains do, in bfloat16 where that is faster; else in float32."""

    def __call__(self, y: Tensor, sigma: Tensor, /) -> Tensor:
        """Return D(y, σ)."""
        c = y if self.box is None else y.clamp(*self.box)
        parts = zip(torch.split(c, BATCH_SIZE), torch.split(sigma, BATCH_SIZE), strict=True)
        steps = torch.cat([self._step(at_level(self.energy, s), part) for part, s in parts])
        if not steps.isfinite().all():
            raise Unmeasurable("∇E of noisy images is NaN or infinite; the energy has diverged")
        return y - steps

    def _step(self, energy: Energy, c: Tensor) -> Tensor:
        """∇E(c)/κ."""
        if not self.low_precision:
            return energy_and_grad(energy, c)[1] / self.curvature
        descent = Langevin((2 / self.curvature) ** 0.5, temperature=0.0, clip=None, clamp=None)
        return c - run_chain(energy, descent, c, 1, rng=Stream(0, Purpose.SAMPLING)).x  # nothing is drawn at T = 0

    def derivative(self, y: Tensor, sigma: Tensor, at: Tensor, direction: Tensor, length: Tensor) -> Tensor:
        """Return J(y) v ≈ ‖v‖ (D(y + length · v/‖v‖, σ) − D(y, σ)) / length, (B, *shape). Cost: one gradient.

        Args:
            y: where.
            sigma: σ, (B,).
            at: D(y, σ), which the caller has.
            direction: v, (B, *shape).
            length: of the difference, (B,), > 0: its Euclidean norm, in pixels.
        """
        norm = direction.flatten(1).norm(dim=1)
        unit = direction / per_sample(norm.where(norm > 0, 1.0), y)  # along v = 0 the derivative is 0
        return (self(y + per_sample(length, y) * unit, sigma) - at) * per_sample(norm / length, y)


def check_denoiser(kernel: Kernel) -> None:
    """Raise `BadInput` unless an energy that was trained with `kernel` is a denoiser."""
    if not is_denoiser(kernel):
        raise BadInput("this energy was trained at one temperature, so it is no denoiser; use mnist or mnist-best")


def denoiser_of(energy: Energy, kernel: Kernel, *, low_precision: bool = False) -> EnergyDenoiser:
    """Return the denoiser of an energy that was trained with `kernel`.

    An energy of one temperature has no κ, so the length of its step means nothing until it is fitted (`Scaled`).
    """
    curvature = kernel.curvature if is_denoiser(kernel) else 1.0
    return EnergyDenoiser(frozen(energy), curvature, box_of(kernel), low_precision)


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
