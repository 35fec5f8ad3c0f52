"""A full-covariance Gaussian of images and of noisy images: the law where every quantity of a diffusion is exact."""

import math
from typing import NamedTuple

from torch import Tensor


class Gaussian(NamedTuple):
    """N(μ, C) over D pixels; with noise σ it is N(μ, C + σ²I). Densities are computed in float64."""

    mean: Tensor  # (D,)
    eigenvalues: Tensor  # (D,) of C, ≥ 0
    basis: Tensor  # (D, D), one eigenvector a column

    def __call__(self, y: Tensor, sigma: Tensor, /) -> Tensor:
        """Return E[x | y] = μ + C (C + σ²I)⁻¹ (y − μ), (B, *shape); `sigma` (B,). It is a `Denoiser`."""
        mean, eigenvalues, basis = (t.to(y) for t in self)
        gain = eigenvalues / (eigenvalues + sigma.to(y).square()[:, None])
        return (mean + ((y.flatten(1) - mean) @ basis * gain) @ basis.T).view_as(y)

    def log_density(self, y: Tensor, sigma: float) -> Tensor:
        """Return log N(y; μ, C + σ²I) in nats, (B, *shape) -> (B,); σ > 0."""
        variances = self.eigenvalues + sigma**2
        squares = self._coordinates(y).square() / variances
        return -0.5 * (squares + (2 * math.pi * variances).log()).sum(1)

    def divergence(self, x: Tensor, sigma: float) -> Tensor:
        """Return KL(N(x, σ²I) ‖ N(μ, C + σ²I)) in nats, (B, *shape) -> (B,); σ > 0."""
        variances = self.eigenvalues + sigma**2
        squares = (sigma**2 + self._coordinates(x).square()) / variances
        return 0.5 * (squares - 1 + (variances / sigma**2).log()).sum(1)

    def _coordinates(self, x: Tensor) -> Tensor:
        return (x.flatten(1).double() - self.mean) @ self.basis
