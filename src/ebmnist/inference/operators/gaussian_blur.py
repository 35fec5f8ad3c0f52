"""Gaussian blur: a picture out of focus, so its edges have to be found (deblurring)."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ebmnist.errors import BadInput


class Eigen(NamedTuple):
    """K of one side of n pixels, and its eigenvalues and eigenvectors."""

    matrix: Tensor  # (n, n)
    values: Tensor  # (n,)
    vectors: Tensor  # (n, n), one a column


@dataclass(frozen=True)
class GaussianBlur:
    """A x = K x Kᵀ, K_ij ∝ exp(−(i − j)²/2s²) along each side: deblurring; beyond the border the image is black.

    K = V Λ Vᵀ is symmetric. So A has the eigenvalues λ_i λ_j, and `solve` divides by them in that basis.

    Raises:
        BadInput: a scale that is not > 0 and finite.
    """

    scale: float = 1.5
    """s > 0: standard deviation of the blur, in pixels."""

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise BadInput(f"gaussian_blur: scale must be > 0 and finite, not {self.scale}")

    def forward(self, x: Tensor) -> Tensor:
        """Return the blurred images, (B, C, H, W) -> (B, C, H, W)."""
        rows, columns = (_eigen(n, self.scale, x.dtype, x.device) for n in x.shape[-2:])
        return rows.matrix @ x @ columns.matrix

    def adjoint(self, v: Tensor) -> Tensor:
        """Return the same: this blur is its own adjoint."""
        return self.forward(v)

    def solve(self, v: Tensor, scale: float, shift: float) -> Tensor:
        """Return V_r (V_rᵀ v V_c / (scale · λ_i² λ_j² + shift)) V_cᵀ."""
        rows, columns = (_eigen(n, self.scale, v.dtype, v.device) for n in v.shape[-2:])
        gain = scale * (rows.values[:, None] * columns.values).square() + shift
        return rows.vectors @ (rows.vectors.T @ v @ columns.vectors / gain) @ columns.vectors.T

    def of_rows(self, rows: Tensor) -> Self:  # noqa: ARG002 (the Protocol's)
        """Return itself."""
        return self


@cache  # once a side, scale, dtype and device
@torch.inference_mode(mode=False)  # they outlive it
def _eigen(n: int, scale: float, dtype: torch.dtype, device: torch.device) -> Eigen:
    offset = torch.arange(-n, n + 1, dtype=torch.float64, device="cpu")
    weight = (-offset.square() / (2 * scale**2)).softmax(0)
    place = torch.arange(n, device="cpu")
    matrix = weight[n + place[:, None] - place]
    return Eigen(*(t.to(device, dtype) for t in (matrix, *torch.linalg.eigh(matrix))))
