"""What a linear measurement is: y = A x + σ_y ξ, of an image x, with the adjoint of A and a solver."""

from typing import Protocol, Self

from torch import Tensor


class LinearOperator(Protocol):
    """A, from images (B, C, H, W) to measurements (B, *measured). Frozen dataclass."""

    def forward(self, x: Tensor) -> Tensor:
        """Return A x.

        Raises:
            BadInput: images of a size that A cannot measure.
        """
        ...

    def adjoint(self, v: Tensor) -> Tensor:
        """Return Aᵀ v, (B, *measured) -> (B, C, H, W): ⟨A x, v⟩ = ⟨x, Aᵀ v⟩ for all x and v."""
        ...

    def solve(self, v: Tensor, scale: float, shift: float) -> Tensor:
        """Return (scale · A Aᵀ + shift · I)⁻¹ v, (B, *measured), for scale ≥ 0 and shift > 0."""
        ...

    def of_rows(self, rows: Tensor) -> Self:
        """Return A of the images `rows`, (R,) int64, of a batch; itself where A is the same for all."""
        ...
