"""The unit box in probit coordinates, x = Φ(y): chains there have no walls, and every density keeps its support.

Pixels live in the box and E was learned there alone, so the model is p(x) = exp(−βE(x))/Z on (0, 1)ᴰ and zero
outside. Under x = Φ(y), dx = φ(y) dy with φ the standard normal density: y ranges over all of Rᴰ, the uniform law
on the box becomes N(0, I), and Z is the same integral.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.inference.gaussian_mixture import GaussianMixture
from ebmnist.random import AnyRng, Rng


@dataclass(frozen=True)
class ProbitEnergy:
    """U(y) = β (E(Φ(y)) − E₀) + ½‖y‖² + (D/2) log 2π, (B, D) -> (B,).

    ∫ exp(−U) dy = ∫_box exp(−β(E(x) − E₀)) dx, exactly: the last two terms are −log φ(y).
    """

    energy: Energy  # (B, *shape) -> (B,)
    shape: tuple[int, ...]
    beta: float  # 1/T, in 1/energy
    offset: float = 0.0
    """E₀, near the energies met, so that float32 has its digits where they count."""

    def __call__(self, y: Tensor) -> Tensor:
        """Return U(y)."""
        return self.beta * (self.energy(y_to_images(y, self.shape)) - self.offset) + minus_log_normal(y)


@dataclass(frozen=True)
class ProbitBase:
    """N(m, C) in y, and coordinates for chains: y = m + v C^¼, so that N(m, C) is N(0, C^½) in v.

    C^½ is the metric half way between the pixels' own and the base's: steps in it fit the data's long directions and
    the energy's narrow ones. (C itself mixes best at the base and worst at the target.)
    """

    mean: Tensor  # (D,)
    root: Tensor  # (D, D), C^¼
    inverse: Tensor  # (D, D), C^−¼
    log_det: float  # log |C|

    def draw(self, n: int, rng: AnyRng) -> Tensor:
        """Draw n points of the base in v, (n, D)."""
        w = Rng.of(rng).normal((n, len(self.mean)), self.mean.dtype)
        return w @ self.root

    def to_y(self, v: Tensor) -> Tensor:
        """Return y = m + v C^¼."""
        return self.mean + v @ self.root

    def from_y(self, y: Tensor) -> Tensor:
        """Return v = (y − m) C^−¼."""
        return (y.to(self.mean) - self.mean) @ self.inverse

    def __call__(self, v: Tensor) -> Tensor:
        """Return −log N(y; m, C), a density in y, (B, D) -> (B,): its normaliser is 1."""
        return minus_log_normal(v @ self.inverse) + 0.5 * self.log_det


def probit_base(fit: GaussianMixture, dtype: torch.dtype = torch.float32) -> ProbitBase:
    """Return the base that is the first Gaussian of `fit`, fitted to y = Φ⁻¹(x)."""
    basis, variances = fit.bases[0], fit.variances[0]
    root, inverse = ((basis * variances**power) @ basis.T for power in (0.25, -0.25))
    return ProbitBase(fit.means[0].to(dtype), root.to(dtype), inverse.to(dtype), float(variances.log().sum()))


def y_to_images(y: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return x = Φ(y), (B, D) -> (B, *shape)."""
    return torch.special.ndtr(y).view(-1, *shape)


def images_to_y(x: Tensor) -> Tensor:
    """Return y = Φ⁻¹(x) of images in the open box; in float64, as 1 − 2⁻⁴⁵ is 1 in float32."""
    return torch.special.ndtri(x)


def minus_log_normal(y: Tensor) -> Tensor:
    """Return −log φ(y) = ½‖y‖² + (D/2) log 2π, (B, D) -> (B,)."""
    return 0.5 * y.square().sum(1) + 0.5 * y.shape[1] * math.log(2 * math.pi)
