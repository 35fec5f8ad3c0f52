"""Laws of images whose noisy densities and denoisers are exact."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import per_sample
from ebmnist.inference.gaussian import Gaussian


def correlated(n: int, *, scale: float = 1.0) -> Gaussian:
    """N(μ, C) over n pixels, eigenvalues from `scale`²/n to `scale`², in a random basis."""
    rng = torch.Generator().manual_seed(5)
    basis, _ = torch.linalg.qr(torch.randn(n, n, generator=rng, dtype=torch.float64))
    eigenvalues = scale**2 * torch.arange(1, n + 1, dtype=torch.float64) / n
    return Gaussian(torch.linspace(0.2, 0.8, n, dtype=torch.float64), eigenvalues, basis)


def draws(law: Gaussian, n: int, rng: torch.Generator) -> Tensor:
    """n images (n, 1, 1, D)."""
    noise = torch.randn(n, len(law.mean), generator=rng, dtype=torch.float64)
    return (law.mean + (noise * law.eigenvalues.sqrt()) @ law.basis.T).float()[:, None, None]


@dataclass(frozen=True)
class TwoPoints:
    """Independent pixels, each 0 or 1 with probability a half."""

    def __call__(self, y: Tensor, sigma: Tensor) -> Tensor:
        """E[x | y] = 1/(1 + exp(−(y − ½)/σ²))."""
        return torch.sigmoid((y - 0.5) / per_sample(sigma.to(y).square(), y))

    def log_density(self, y: Tensor, sigma: float) -> Tensor:
        """log p(y) of pixels with noise σ, (B,)."""
        logs = -0.5 * ((y[..., None].double() - torch.tensor([0.0, 1.0]).double()) / sigma).square()
        return (logs.logsumexp(-1) - math.log(2 * sigma * math.sqrt(2 * math.pi))).flatten(1).sum(1)
