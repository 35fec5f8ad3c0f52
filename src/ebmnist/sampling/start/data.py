"""Chains that always begin at the data: contrastive divergence, CD-k (Hinton 2002)."""

from torch import Tensor

from ebmnist.random import AnySource
from ebmnist.sampling.base import Draw
from ebmnist.sampling.start.base import Forgetful


class FromData(Forgetful):
    """x₀ = x⁺ at every update."""

    def draw(self, x_pos: Tensor, rng: AnySource) -> Draw:  # noqa: ARG002 (the Protocol's signature)
        """The rows of `x_pos` themselves."""
        return Draw(x_pos)
