"""Ancestral sampling, the sampler of diffusion models: large steps where the noise is large, so fewer gradients."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import torch

from ebmnist.errors import BadInput
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.diffusion import DiffusionSampler
from ebmnist.sampling.schedule import Table, levels


@dataclass(frozen=True)
class Ancestral(DiffusionSampler):
    """x ← D(x) + r^(1+τ²)·(x − D(x)) + σ_{j+1}·√(1 − r^(2τ²))·ξ, with r = σ_{j+1}/σ_j; ξ ~ N(0, 1).

    At τ = 1 it draws from p(x_{j+1} | x_j, D(x_j)), as the reverse chain of Ho et al. (2020) does; in the form without
    a drift of the data (variance exploding: Song et al. 2021, appendix F). At τ = 0 it is DDIM (Song, Meng & Ermon
    2021): no noise. At any τ it solves the reverse equation of stochasticity τ with D held fixed over a step: SA-Solver
    (Xue et al. 2023, eq. 14), of first order. More noise corrects more of the denoiser's errors (Karras et al. 2022).

    Raises:
        BadInput: a field out of its range.
    """

    tau: float = 1.0
    """Stochasticity τ ≥ 0: 0 adds no noise, 1 is ancestral sampling as published."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tau < float("inf"):
            raise BadInput(f"{self.name()}: tau must be ≥ 0 and finite, not {self.tau}")

    @classmethod
    def of(cls, kernel: Kernel, n_steps: int, n_hold: int = 5) -> Self:
        """Return the sampler of `n_steps` for an energy that was trained with `kernel`.

        `n_hold` of them hold the largest noise, and at most a quarter. τ = √2, as chosen on validation images
        (docs/log.md, 2026-11-29).

        Raises:
            BadInput: fewer than 8 steps; a kernel without noise levels, whose energy is no denoiser.
        """
        return replace(super().of(kernel, n_steps, n_hold), tau=2**0.5)

    def table(self, device: torch.device) -> Table:
        """The numbers of each step of a cycle."""
        return _table(self, device)


@cache  # once a kernel and device
@torch.inference_mode(mode=False)  # they outlive it
def _table(kernel: Ancestral, device: torch.device) -> Table:
    sigma, (held, held_noise) = kernel.spaced(), kernel.held()
    r = sigma[1:] / sigma[:-1]
    shares = torch.cat([held, 1 - r ** (1 + kernel.tau**2)])
    noise = torch.cat([held_noise, sigma[1:] * (1 - r ** (2 * kernel.tau**2)).sqrt()])
    level = levels(shares, noise, kernel.sigma_min)
    return Table(*(t.float().to(device) for t in (shares / kernel.curvature, noise, level)))
