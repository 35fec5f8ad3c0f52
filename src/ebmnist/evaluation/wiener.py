"""The Wiener filter and its fill: what mean and covariance alone make of a noisy or an incomplete image."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.evaluation.detectors import ROUNDING, fit_components


class Wiener(NamedTuple):
    """The linear estimator of least mean squared error, from the mean and covariance of clean images."""

    mean: Tensor  # (D,) float64
    eigenvalues: Tensor  # (D,) float64
    basis: Tensor  # (D, D) float64, one eigenvector of the covariance a column

    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """Return x̂ = μ + C (C + σ²I)⁻¹ (y − μ), (B, *shape), not clamped (Wiener 1949)."""
        gain = self.eigenvalues / (self.eigenvalues + sigma**2)
        coordinates = (y.flatten(1).double() - self.mean) @ self.basis
        return (self.mean + (coordinates * gain) @ self.basis.T).to(y.dtype).view_as(y)

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


def fit_wiener(clean: Tensor) -> Wiener:
    """Fit the estimator to clean images, (N, *shape) with N ≥ 2."""
    return Wiener(*fit_components(clean))
