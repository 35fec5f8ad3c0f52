"""A denoiser applied several times over, its steps weighted as validation images say."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.inference.denoisers import Denoiser
from ebmnist.random import AnyRng

N_TIMES = 3
SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))  # rows and columns
BATCH_SIZE = 500


@dataclass(frozen=True)
class Iterated:
    """x̂ = y + Σ_k c_k (S^k(y) − S^{k−1}(y)), S the denoiser at σ, averaged over shifts (Talebi, Zhu & Milanfar 2013).

    The average over shifts, S(y) = mean of T⁻¹D(Ty), is cycle spinning (Coifman & Donoho 1995). A network with strides
    treats places unalike, and the average does so less.
    """

    denoiser: Denoiser
    """D."""
    sigma: float
    """σ of the noise, > 0, for a denoiser that is told it."""
    weights: tuple[float, ...]
    """c_k of k = 1, 2, …"""

    def __call__(self, y: Tensor) -> Tensor:
        """Return x̂, (B, *shape), not clamped. Cost: 5 gradients for each weight."""
        return torch.cat([self._of_batch(part) for part in torch.split(y, BATCH_SIZE)])

    def _of_batch(self, y: Tensor) -> Tensor:
        steps = _steps(self.denoiser, y, self.sigma, len(self.weights))
        return y + sum(weight * step for weight, step in zip(self.weights, steps, strict=True))


def fit_iterated(denoiser: Denoiser, clean: Tensor, sigma: float, *, rng: AnyRng, n_times: int = N_TIMES) -> Iterated:
    """Return the weights of least squared error on `clean`, validation images (B, *shape), with noise of σ.

    Cost: 5 · n_times gradients of B images.
    """
    y = add_noise(clean, sigma, rng)
    parts = [_steps(denoiser, part, sigma, n_times) for part in torch.split(y, BATCH_SIZE)]
    columns = torch.stack([torch.cat(step).flatten() for step in zip(*parts, strict=True)], 1).double()
    weights = torch.linalg.lstsq(columns, (clean - y).flatten().double()[:, None]).solution[:, 0]
    return Iterated(denoiser, sigma, tuple(weights.tolist()))


def _steps(denoiser: Denoiser, y: Tensor, sigma: float, n_times: int) -> list[Tensor]:
    """S^k(y) − S^{k−1}(y), k = 1 … n_times."""
    before, steps, told = y, [], y.new_full((len(y),), sigma)
    for _ in range(n_times):
        after = sum((_shifted(denoiser, before, told, shift) for shift in SHIFTS), torch.zeros_like(y)) / len(SHIFTS)
        steps.append(after - before)
        before = after
    return steps


def _shifted(denoiser: Denoiser, y: Tensor, sigma: Tensor, shift: tuple[int, int]) -> Tensor:
    back = -shift[0], -shift[1]
    return denoiser(y.roll(shift, (-2, -1)), sigma).roll(back, (-2, -1))
