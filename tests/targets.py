"""Energies whose moments and log Z are known exactly, to test samplers and estimators against.

Each maps x, (B, *shape), to E(x), (B,); means and variances are a coordinate's, under p(x) = exp(−E(x)) / Z.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebmnist.random import Rng


@dataclass(frozen=True)
class Gaussian:
    """E(x) = ½ Σ ((x − μ)/σ)², so p = N(μ, σ²) in every coordinate; the default is E = x²/2."""

    mean: float = 0.0
    scale: float = 1.0
    capturable: ClassVar[bool] = True

    def __call__(self, x: Tensor) -> Tensor:
        return 0.5 * ((x - self.mean) / self.scale).square().flatten(1).sum(1)

    @property
    def variance(self) -> float:
        return self.scale**2

    def log_z(self, n_dims: int) -> float:
        return n_dims * math.log(self.scale * math.sqrt(2 * math.pi))

    def draw(self, n: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return self.mean + self.scale * torch.randn((n, *shape), generator=rng)


@dataclass(frozen=True)
class Mixture:
    """E(x) = −log Σₖ wₖ exp(−½‖x − μₖ‖²/σ²): modes at μₖ·(1, …, 1), weights that sum to one."""

    means: tuple[float, ...] = (-2.0, 2.0)
    weights: tuple[float, ...] = (0.25, 0.75)
    scale: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        centres, weights = torch.tensor(self.means).to(x), torch.tensor(self.weights).to(x)
        squares = (x.flatten(1)[..., None] - centres).square().sum(1)  # (B, K)
        return -torch.logsumexp(weights.log() - 0.5 * squares / self.scale**2, dim=1)

    @property
    def mean(self) -> float:
        return sum(w * m for w, m in zip(self.weights, self.means, strict=True))

    @property
    def variance(self) -> float:
        second = sum(w * m**2 for w, m in zip(self.weights, self.means, strict=True))
        return self.scale**2 + second - self.mean**2

    def log_z(self, n_dims: int) -> float:
        return n_dims * math.log(self.scale * math.sqrt(2 * math.pi))

    def draw(self, n: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        which = torch.multinomial(torch.tensor(self.weights), n, replacement=True, generator=rng)
        centres = torch.tensor(self.means)[which].view(-1, *[1] * len(shape))
        return centres + self.scale * torch.randn((n, *shape), generator=rng)


@dataclass(frozen=True)
class Tilted:
    """E(x) = a Σ x on the box [0, 1]^d: coordinates are exponential with rate a ≠ 0, cut off at 1."""

    rate: float = 2.0

    def __call__(self, x: Tensor) -> Tensor:
        return self.rate * x.flatten(1).sum(1)

    @property
    def mean(self) -> float:
        return 1 / self.rate - 1 / math.expm1(self.rate)

    @property
    def variance(self) -> float:
        return 1 / self.rate**2 - math.exp(self.rate) / math.expm1(self.rate) ** 2

    def log_z(self, n_dims: int) -> float:
        return n_dims * math.log(-math.expm1(-self.rate) / self.rate)

    def draw(self, n: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        u = torch.rand((n, *shape), generator=rng)
        return -torch.log1p(u * math.expm1(-self.rate)) / self.rate


@dataclass(frozen=True)
class GaussianRBM:
    """E(x) = ½‖x − b‖² − Σⱼ log(1 + exp(cⱼ + wⱼ·x)): Gaussian visible and binary hidden units, which are summed out.

    Z = (2π)^{D/2} Σ_h exp(c·h + b·Wh + ½‖Wh‖²) over the 2^H states of the hidden units (Welling et al. 2004).
    """

    n_visible: int = 6
    n_hidden: int = 8

    def __call__(self, x: Tensor) -> Tensor:
        w, b, c = (t.to(x) for t in self.weights())
        return 0.5 * (x.flatten(1) - b).square().sum(1) - torch.nn.functional.softplus(c + x.flatten(1) @ w).sum(1)

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        rng = torch.Generator().manual_seed(1)
        shapes = ((self.n_visible, self.n_hidden), (self.n_visible,), (self.n_hidden,))
        w, b, c = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes)
        return 0.3 * w, b, c

    def log_z(self) -> float:
        w, b, c = self.weights()
        h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * self.n_hidden)  # (2^H, H)
        means = h @ w.T
        states = h @ c + means @ b + 0.5 * means.square().sum(1)
        return float(states.logsumexp(0)) + 0.5 * self.n_visible * math.log(2 * math.pi)


class NoisyGaussian:
    """E(x, σ) = −log N(x; μ, C + σ²I) of data N(μ, C) in 4 dimensions: an energy that is told the noise level."""

    levels = (0.1, 3.0)
    mean = torch.tensor([0.5, -0.2, 0.0, 1.0])
    root = torch.tensor([[0.1, 0.0, 0.0, 0.0], [0.2, 0.5, 0.0, 0.0], [0.0, 0.3, 1.0, 0.0], [0.5, 0.0, 0.7, 1.0]])
    covariance = root @ root.T
    spectrum = torch.linalg.eigh(covariance)

    def __call__(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        sigma = x.new_full(x.shape[:1], self.levels[0]) if sigma is None else sigma
        variances = self.spectrum[0] + sigma[:, None].square()
        squares = ((x - self.mean) @ self.spectrum[1]).square() / variances
        return 0.5 * (squares + torch.log(2 * math.pi * variances)).sum(1)

    def draw(self, n: int, rng: Rng) -> Tensor:
        return self.mean + rng.normal((n, 4)) @ self.root.T


def assert_moments(x: Tensor, mean: float, variance: float, *, n_errors: float = 4.5) -> None:
    """Check the moments of independent rows x, (N, *shape), to `n_errors` of their own standard errors."""
    for seen, expected, name in ((x, mean, "mean"), ((x - mean).square(), variance, "variance")):
        rows = seen.double().flatten(1).mean(1)  # coordinates of one row may depend on one another
        error = rows.std().item() / math.sqrt(len(rows))
        z = (rows.mean().item() - expected) / error
        assert abs(z) < n_errors, f"{name} {rows.mean():.4f} ± {error:.4f}, expected {expected:.4f}"
