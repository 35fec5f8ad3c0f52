"""Average pooling: one number for each block of pixels, so the details have to be found (super-resolution)."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor
from torch.nn import functional

from ebmnist.errors import BadInput


@dataclass(frozen=True)
class AveragePool:
    """(A x)_ij = the mean of block (i, j) of factor × factor pixels: super-resolution; A Aᵀ = I / factor².

    Raises:
        BadInput: a factor below 1; by `forward`, images whose sides it does not divide.
    """

    factor: int = 2
    """Side of a block in pixels, ≥ 1."""

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise BadInput(f"average_pool: factor must be ≥ 1, not {self.factor}")

    def forward(self, x: Tensor) -> Tensor:
        """Return the means, (B, C, H, W) -> (B, C, H/factor, W/factor)."""
        if x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            sides = f"{x.shape[-2]} × {x.shape[-1]}"
            raise BadInput(f"average_pool: factor must divide the sides of the images, {sides}, not {self.factor}")
        return functional.avg_pool2d(x, self.factor)

    def adjoint(self, v: Tensor) -> Tensor:
        """Return v / factor² at each pixel of its block."""
        return v.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2) / self.factor**2

    def solve(self, v: Tensor, scale: float, shift: float) -> Tensor:
        """Return v / (scale / factor² + shift)."""
        return v / (scale / self.factor**2 + shift)

    def of_rows(self, rows: Tensor) -> Self:  # noqa: ARG002 (the Protocol's)
        """Return itself."""
        return self
