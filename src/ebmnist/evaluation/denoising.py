"""Denoising: energy descent from a noisy image, and the linear Wiener filter it has to beat."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.energy.base import Energy
from ebmnist.errors import BadInput
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.chain import run_chain

STOPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


class Stop(NamedTuple):
    """Where a descent ends: after `n_steps` steps of `step_scale` times the kernel's step size."""

    n_steps: int
    step_scale: float = 1.0


class Wiener(NamedTuple):
    """The linear filter of least mean squared error, from the mean and covariance of clean images."""

    mean: Tensor  # (D,) float64
    basis: Tensor  # (D, D) float64, one eigenvector of the covariance a column
    eigenvalues: Tensor  # (D,) float64

    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """Return x̂ = μ + C (C + σ²I)⁻¹ (y − μ), (B, *shape), not clamped (Wiener 1949)."""
        gain = self.eigenvalues / (self.eigenvalues + sigma**2)
        coordinates = (y.flatten(1).double() - self.mean) @ self.basis
        return (self.mean + (coordinates * gain) @ self.basis.T).to(y.dtype).view_as(y)


def fit_wiener(clean: Tensor) -> Wiener:
    """Fit the filter to clean images, (N, *shape) with N ≥ 2."""
    x = clean.flatten(1).double()
    eigenvalues, basis = torch.linalg.eigh(torch.cov(x.T))
    return Wiener(x.mean(0), basis, eigenvalues.clamp_min(0))


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return −10 log₁₀ mean (x − y)² in dB, one per image, (B, *shape) -> (B,), with `x` clamped to [0, 1].

    `y` is the clean image; where the two are equal it is infinite.

    Raises:
        BadInput: the shapes differ.

    >>> psnr(torch.full((1, 1, 2, 2), 0.6), torch.full((1, 1, 2, 2), 0.5))
    tensor([20.0000])
    """
    if x.shape != y.shape:
        raise BadInput(f"psnr: shapes {tuple(x.shape)} and {tuple(y.shape)} differ; give one clean image for each")
    return -10 * (x.clamp(0, 1) - y).square().flatten(1).mean(1).log10()


def denoise(
    energy: Energy, kernel: Kernel, y: Tensor, n_steps: int, *, rng: torch.Generator, step_scale: float = 1.0
) -> Tensor:
    """Return where gradient descent on the energy from clamp(y, 0, 1) is after `n_steps`, (B, *shape).

    Raises:
        BadInput: a kernel that cannot be run at T = 0 (MALA).
    """
    return run_chain(energy, _cold(kernel, step_scale), y.clamp(0, 1), n_steps, rng=rng).x


def choose_stop(
    energy: Energy,
    kernel: Kernel,
    clean: Tensor,
    sigma: float,
    *,
    rng: torch.Generator,
    stops: Sequence[int] = STOPS,
    step_scales: Sequence[float] = (1.0,),
) -> Stop:
    """Return the stop with the best mean PSNR on `clean`, validation images (B, *shape), noised at σ.

    One descent per step scale, looked at on its way; a stop whose PSNR is NaN is never chosen.

    Raises:
        BadInput: no stop leaves finite images.
    """
    y = add_noise(clean, sigma, rng).clamp(0, 1)
    scores: dict[Stop, float] = {}
    for scale in step_scales:
        x, done = y, 0
        for n_steps in sorted(stops):
            x, done = run_chain(energy, _cold(kernel, scale), x, n_steps - done, rng=rng).x, n_steps
            scores[Stop(n_steps, scale)] = float(psnr(x, clean).mean())
    finite = {stop: score for stop, score in scores.items() if score == score}
    if not finite:
        raise BadInput("denoising: descent leaves NaN images at every stop; the energy has diverged")
    return max(finite, key=lambda stop: finite[stop])


def _cold(kernel: Kernel, step_scale: float) -> Kernel:
    """Return the kernel at T = 0 with its step size scaled."""
    any_kernel = cast(Any, kernel)  # the Protocol does not say so, but every kernel is a frozen dataclass
    return cast(Kernel, replace(any_kernel, temperature=0.0, step_size=step_scale * any_kernel.step_size))
