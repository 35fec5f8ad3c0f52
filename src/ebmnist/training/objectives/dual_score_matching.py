"""Dual score matching: learn how −log p_σ(x) changes with the image and with the noise level, so it is normalised."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import per_sample
from ebmnist.energies.levels import NoiseConditioned
from ebmnist.errors import BadInput
from ebmnist.random import AnySource, source_of


@dataclass(frozen=True)
class DualScoreMatching:
    """L = mean ‖σ∇E(y, σ) − ξ‖²/d + w·(σ ∂E/∂σ(y, σ) − d + ‖ξ‖²)²/4d, y = x + σξ, ξ ~ N(0, 1) of d pixels.

    Both are regressions (Guth, Kadkhodaie & Simoncelli 2025). For E = −log p_σ, ∇E is the mean of ξ/σ given y, the
    score of Vincent (2011), and ∂E/∂σ is the mean of (d − ‖ξ‖²)/σ given y. The second ties the constants of all levels
    together. E is then normalised at every σ if it is at one, and `sigma_max` is that one. Each term is divided by the
    variance that its target has at a given σ, ξ by 1 and ‖ξ‖²/2 by d/2, up to a factor.
    log σ is uniform, and the levels of a batch are equally spaced (Kingma et al. 2021). There are no chains.

    Raises:
        BadInput: a negative weight.
    """

    sigma_weight: float = 1.0
    """w ≥ 0, of the derivative in σ; with 0 this is denoising score matching, and E is not normalised."""

    def __post_init__(self) -> None:
        if not self.sigma_weight >= 0:
            raise BadInput(f"dual_score_matching: sigma_weight must be ≥ 0, not {self.sigma_weight}")

    def levels(self, energy: NoiseConditioned, n: int, rng: AnySource) -> Tensor:
        """Draw σ of n images, (n,), float32: log σ over the range that the energy is told, one in each n-th of it."""
        low, high = (math.log(level) for level in energy.levels)
        rng = source_of(rng)
        place = (torch.arange(n, device=rng.device) + rng.uniform((1,))) / n
        return torch.exp(low + (high - low) * place)

    def __call__(
        self, energy: NoiseConditioned, x: Tensor, sigma: Tensor, noise: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and its terms detached, for images `x` with `sigma`·`noise`, (B, *shape), (B,), (B, *shape).

        The loss can be differentiated by the weights: it asks for second derivatives of the energy.
        """
        y = (x + per_sample(sigma, x) * noise).detach().requires_grad_()
        log_sigma = sigma.detach().log().requires_grad_()
        value = energy(y, log_sigma.exp())
        by_image, by_level = torch.autograd.grad(value.sum(), (y, log_sigma), create_graph=True)
        d, square = x[0].numel(), noise.flatten(1).square().sum(1)
        image = (per_sample(sigma, x) * by_image - noise).flatten(1).square().sum(1).mean() / d
        level = (by_level - d + square).square().mean() / (4 * d)
        terms = {
            "energy": value.mean(),
            "energy_max": value.abs().max(),
            "grad_norm": by_image.flatten(1).norm(dim=1).mean(),
        }
        return image + self.sigma_weight * level, {name: term.detach() for name, term in terms.items()}
