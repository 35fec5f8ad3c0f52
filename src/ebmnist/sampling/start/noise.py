"""Chains that always begin in uniform noise: short-run maximum likelihood (Nijkamp et al. 2019)."""

import torch
from torch import Tensor

from ebmnist.sampling.base import Draw
from ebmnist.sampling.start.base import Forgetful


def uniform_noise(n: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Return x ~ U[0, 1], (n, *shape), float32, on the rng's device."""
    return torch.rand((n, *shape), generator=rng, device=rng.device)


class FromNoise(Forgetful):
    """x₀ ~ U[0, 1] at every update."""

    def draw(self, x_pos: Tensor, rng: torch.Generator) -> Draw:
        """One noise image per row of `x_pos`."""
        return Draw(uniform_noise(len(x_pos), tuple(x_pos.shape[1:]), rng))
