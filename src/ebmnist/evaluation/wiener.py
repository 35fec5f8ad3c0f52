"""The Wiener filter and its fill: what mean and covariance alone make of a noisy or an incomplete image."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.evaluation.detectors import ROUNDING, fit_components
from ebmnist.inference.gaussian import Gaussian
from ebmnist.inference.operators import LinearOperator


class Wiener(NamedTuple):
    """The linear estimator of least mean squared error, from the mean and covariance of clean images."""

    mean: Tensor  # (D,) float64
    eigenvalues: Tensor  # (D,) float64
    basis: Tensor  # (D, D) float64, one eigenvector of the covariance a column

    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """Return x̂ = μ + C (C + σ²I)⁻¹ (y − μ), (B, *shape), not clamped (Wiener 1949)."""
        x = y.double()
        return Gaussian(*self)(x, x.new_full((len(x),), sigma)).to(y.dtype)

    def fill(self, y: Tensor, observed: Tensor) -> Tensor:
        """Return `y`, (B, *shape), with hidden pixels x̂_h = μ_h + C_ho (C_oo + σ²I)⁻¹ (y_o − μ_o), not clamped.

        `observed`, bool, *shape, is the same for all. Hidden pixels of `y` are never read. σ² is the variance of
        rounding to 256 levels. Without it, pixels that are black in every training image would make C_oo singular.
        """
        seen = observed.flatten()
        x = y.flatten(1).double()
        covariance = (self.basis * self.eigenvalues) @ self.basis.T
        of_seen = covariance[seen][:, seen] + ROUNDING * torch.eye(int(seen.sum()), device=y.device)
        weights = torch.linalg.solve(of_seen, covariance[seen][:, ~seen])  # (n_o, n_h)
        filled = x.clone()
        filled[:, ~seen] = self.mean[~seen] + (x[:, seen] - self.mean[seen]) @ weights
        return torch.where(observed, y, filled.to(y.dtype).view_as(y))

    def restore(self, y: Tensor, operator: LinearOperator, sigma: float) -> Tensor:
        """Return x̂ = μ + C Aᵀ (A C Aᵀ + σ²I)⁻¹ (y − A μ) of measurements, (B, *measured) -> (B, 1, H, W), not clamped.

        The variance of rounding to 256 levels is added to σ².
        """
        side = int(len(self.mean) ** 0.5)
        everything = torch.eye(len(self.mean), dtype=torch.float64, device=y.device).view(-1, 1, side, side)
        a = operator.forward(everything).flatten(1)  # (D, M), Aᵀ
        covariance = (self.basis * self.eigenvalues) @ self.basis.T
        of_measured = a.T @ covariance @ a + (sigma**2 + ROUNDING) * torch.eye(a.shape[1], device=y.device)
        weights = torch.linalg.solve(of_measured, a.T @ covariance)  # (M, D)
        x = self.mean + (y.flatten(1).double() - self.mean @ a) @ weights
        return x.to(y.dtype).view(-1, 1, side, side)


def fit_wiener(clean: Tensor) -> Wiener:
    """Fit the estimator to clean images, (N, *shape) with N ≥ 2."""
    return Wiener(*fit_components(clean))
