"""The identity: every pixel is measured, so only noise has to be removed."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True)
class Identity:
    """A x = x: denoising."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def adjoint(self, v: Tensor) -> Tensor:
        """Return v."""
        return v

    def solve(self, v: Tensor, scale: float, shift: float) -> Tensor:
        """Return v / (scale + shift)."""
        return v / (scale + shift)

    def of_rows(self, rows: Tensor) -> Self:  # noqa: ARG002 (the Protocol's)
        """Return itself."""
        return self
