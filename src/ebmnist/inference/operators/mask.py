"""A mask: some pixels are measured and the others are not, so these have to be filled in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.errors import BadInput


@dataclass(frozen=True, eq=False)
class Mask:
    """A x = m · x, m ∈ {0, 1} for each pixel: inpainting.

    Raises:
        BadInput: a mask that is not bool.
    """

    observed: Tensor
    """m, bool, broadcastable to the images: True where a pixel is measured."""

    def __post_init__(self) -> None:
        if self.observed.dtype != torch.bool:
            raise BadInput(f"inpaint: the mask is {self.observed.dtype}; give a bool one, True where a pixel is known")

    def forward(self, x: Tensor) -> Tensor:
        """Return x with zeros where nothing is measured; what stands there is not read."""
        return torch.where(self.observed, x, 0.0)

    def adjoint(self, v: Tensor) -> Tensor:
        """Return the same: a mask is its own adjoint."""
        return self.forward(v)

    def solve(self, v: Tensor, scale: float, shift: float) -> Tensor:
        """Return v / (scale · m + shift)."""
        return v / (scale * self.observed + shift)

    def of_rows(self, rows: Tensor) -> "Mask":
        """Return the masks of these images, or itself if there is one mask for all."""
        return Mask(self.observed[rows]) if self.observed.dim() == 4 and len(self.observed) > 1 else self
