"""Samples of images given a noisy linear measurement y = A x + σ_y ξ of each, by guided ancestral sampling."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.errors import BadInput
from ebmnist.inference.denoisers import EnergyDenoiser, check_denoiser, denoiser_of
from ebmnist.inference.operators import LinearOperator
from ebmnist.random import AnyRng, Rng, Stream
from ebmnist.sampling.ancestral import Ancestral
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.samples import boxed

ROUNDING = 1 / (12 * 255**2)  # variance of rounding a pixel to 256 levels: no measurement is more exact
PRIOR_VARIANCE = 0.07  # of a pixel of MNIST, on average
LENGTH = 0.3  # of the finite differences, in σ√dimension
N_STEPS = 25
RHO, TAU, SIGMA_MIN = 5.0, 3**0.5, 0.03  # chosen on validation images with mnist-best (docs/log.md, 2026-11-29)
MOST_SAMPLES = 2**16  # of one image: a chain's number is that of its image times this, plus that of the sample
BATCH_SIZE = 256


@dataclass(frozen=True)
class Posterior:
    """E[image | x, y] ≈ D(x) + σ² J(x) Aᵀ (r² A Aᵀ + σ_y² I)⁻¹ (y − A D(x)), r² = σ²v/(σ² + v) (Song et al. 2023).

    It is Tweedie's formula for p(image | y) at noise σ. Given x, the image is taken to be N(D(x), r² I), whence the
    likelihood of y. Its gradient goes through the Jacobian J, which is symmetric (`EnergyDenoiser`).
    """

    denoiser: EnergyDenoiser
    """D."""
    operator: LinearOperator
    """A."""
    variance: float
    """σ_y², > 0."""
    prior_variance: float = PRIOR_VARIANCE
    """v: variance of a pixel of the images, > 0."""

    def mean(self, x: Tensor, y: Tensor, sigma: float) -> Tensor:
        """Return the mean, (B, *shape), of images that x is with noise of `sigma` > 0. Cost: two gradients."""
        told = x.new_full((len(x),), sigma)
        estimate = self.denoiser(x, told)
        r2 = sigma**2 * self.prior_variance / (sigma**2 + self.prior_variance)
        residual = self.operator.solve(y - self.operator.forward(estimate), r2, self.variance)
        length = LENGTH * told * x[0].numel() ** 0.5
        guidance = self.denoiser.derivative(x, told, estimate, self.operator.adjoint(residual), length)
        return estimate + sigma**2 * guidance


def restore(
    energy: Energy,
    kernel: Kernel,
    y: Tensor,
    operator: LinearOperator,
    sigma: float,
    *,
    rng: AnyRng,
    n_samples: int = 1,
    n_steps: int = N_STEPS,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return samples of the images x given y = A x + σ_y ξ, (B, *measured) -> (n_samples, B, *shape), in the box.

    Ancestral sampling with the posterior's mean in place of the denoiser (docs/concepts/restoration.md). The average
    over samples estimates E[x | y]; their standard deviation says how sure it is. The first samples are the same
    however many are drawn. Cost: two gradients a step, or one at the largest noise.

    Args:
        energy: trained at all noise levels.
        kernel: what it was trained with.
        y: measurements.
        operator: A.
        sigma: σ_y ≥ 0. Rounding to 256 levels is added to it.
        rng: of the chains.
        n_samples: of each image, ≥ 1.
        n_steps: ≥ 8.
        progress: called with the number of steps done so far, of n_steps × ⌈n_samples × B / 256⌉ in all.

    Raises:
        BadInput: an energy of one temperature; a number out of its range.
    """
    if not 0 <= sigma < float("inf"):
        raise BadInput(f"sigma must be ≥ 0 and finite, not {sigma}")
    if not 1 <= n_samples < MOST_SAMPLES > len(y):
        raise BadInput(f"n_samples must be ≥ 1, and {MOST_SAMPLES - 1} at most, as images, not {n_samples} of {len(y)}")
    check_denoiser(kernel)
    denoiser = denoiser_of(energy, kernel, low_precision=True)
    schedule = schedule_for(kernel, n_steps)
    posterior = Posterior(denoiser, operator, sigma**2 + ROUNDING)
    numbers = Rng.of(rng)
    first, noise = numbers.stream(), numbers.stream()
    image, number = torch.arange(len(y), device=y.device).repeat(n_samples), torch.arange(n_samples, device=y.device)
    chains = image * MOST_SAMPLES + number.repeat_interleave(len(y))
    parts: list[Tensor] = []
    for rows, of_batch in zip(torch.split(image, BATCH_SIZE), torch.split(chains, BATCH_SIZE), strict=True):
        done = n_steps * len(parts)
        tell = None if progress is None else (lambda i, done=done: progress(done + i))
        batch = replace(posterior, operator=operator.of_rows(rows))
        parts.append(_run(batch, schedule, y[rows], of_batch, first, noise, tell))
    return torch.cat(parts).view(n_samples, *y.shape[:1], *parts[0].shape[1:])


def schedule_for(kernel: Kernel, n_steps: int) -> Ancestral:
    """Return the noise levels and steps for an energy that was trained with `kernel`.

    The steps end at σ = 0.03, or at the kernel's own end if that is higher: below, the denoiser of a trained energy is
    too weak to help (docs/log.md, 2026-11-29).

    Raises:
        BadInput: fewer than 8 steps; a kernel of one temperature.
    """
    ancestral = Ancestral.of(kernel, n_steps)
    return replace(ancestral, rho=RHO, tau=TAU, sigma_min=min(max(SIGMA_MIN, ancestral.sigma_min), ancestral.sigma_max))


def _run(
    posterior: Posterior,
    schedule: Ancestral,
    y: Tensor,
    chains: Tensor,
    first: Stream,
    noise: Stream,
    progress: Callable[[int], None] | None,
) -> Tensor:
    """Run a batch of chains from uniform noise to samples, (B, *measured) -> (B, *shape)."""
    shape = tuple(posterior.operator.adjoint(y).shape[1:])
    x = first.uniform(chains, 0, shape, dtype=y.dtype)
    drifts, noises, levels = (t.tolist() for t in schedule.table(torch.device("cpu")))
    for j in range(schedule.cycle):
        share, sigma = drifts[j] * schedule.curvature, levels[j - 1]
        if j >= schedule.n_hold:
            x = x - share * (x - posterior.mean(x, y, sigma))
        elif share > 0:  # at the largest noise the measurement says next to nothing, and J is least exact
            x = x - share * (x - posterior.denoiser(x, x.new_full((len(x),), sigma)))
        x = x + noises[j] * noise.normal(chains, j, shape, dtype=y.dtype)
        if schedule.clamp is not None:
            margin = schedule.clamp_margin * levels[j]
            x = x.clamp(schedule.clamp[0] - margin, schedule.clamp[1] + margin)
        if progress is not None:
            progress(j + 1)
    return boxed(schedule, posterior.mean(x, y, levels[-1]))
