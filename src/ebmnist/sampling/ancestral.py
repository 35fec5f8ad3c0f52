"""Ancestral sampling, the sampler of diffusion models: large steps where the noise is large, so fewer gradients."""

from dataclasses import dataclass
from functools import cache
from typing import Self

import torch

from ebmnist.errors import BadInput
from ebmnist.sampling.base import Kernel, NoiseSchedule
from ebmnist.sampling.clipping import check_bounds
from ebmnist.sampling.schedule import Scheduled, Table, levels


@dataclass(frozen=True)
class Ancestral(Scheduled):
    """x ← D(x) + r²(x − D(x)) + σ_{j+1}·√(1 − r²)·ξ, with D(x) = x − ∇E(x)/κ and r = σ_{j+1}/σ_j; ξ ~ N(0, 1).

    It draws from p(x_{j+1} | x_j, D(x_j)), as the reverse chain of Ho et al. (2020) does; in the form without a drift
    of the data (variance exploding: Song et al. 2021, appendix F). D is the denoiser of an energy trained at all noise
    levels (docs/concepts/annealing.md). The levels are those of Karras et al. (2022), eq. 5.

    The first step of a cycle adds noise of `sigma_max` to whatever is there, and follows no gradient. Langevin steps
    then hold that level, so that chains come to have the mean and the covariance of noisy data. After `n_hold` steps in
    all, `n_anneal` steps lead to `sigma_min`.

    Raises:
        BadInput: a field out of its range.
    """

    curvature: float = 0.05
    """κ of the energy around the data, > 0: its `reference_precision`."""
    sigma_max: float = 2.0
    """σ at the beginning, ≥ `sigma_min`, in pixels on [0, 1]; at most what the energy was trained at."""
    sigma_min: float = 0.01
    """σ at the end, > 0."""
    n_hold: int = 5
    """Steps at σ = `sigma_max`, the first noise included, ≥ 1."""
    n_anneal: int = 59
    """Steps from there to σ = `sigma_min`, ≥ 1."""
    hold_share: float = 0.5
    """Share of its way to D(x) that a step at `sigma_max` goes, in (0, 1]."""
    rho: float = 3.0
    """Spacing of the levels, ≥ 1: larger for more steps at little noise."""
    clip: float | None = None
    """Bound on each component of ∇E; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E; null for none."""
    clamp: tuple[float, float] | None = (0.0, 1.0)
    """Range that samples are in; null for none."""
    clamp_margin: float = 4.0
    """How far beyond `clamp` chains may go, in σ of their place, ≥ 0."""

    def __post_init__(self) -> None:
        if not 0 < self.curvature < float("inf"):
            raise BadInput(f"ancestral: the energy's curvature κ must be > 0 and finite, not {self.curvature}")
        if not 0 < self.sigma_min <= self.sigma_max < float("inf"):
            raise BadInput(f"ancestral: 0 < sigma_min ≤ sigma_max is needed, not {self.sigma_min} and {self.sigma_max}")
        if min(self.n_hold, self.n_anneal) < 1:
            raise BadInput(f"ancestral: n_hold and n_anneal must be ≥ 1, not {self.n_hold} and {self.n_anneal}")
        if not (0 < self.hold_share <= 1 <= self.rho < float("inf") and self.clamp_margin >= 0):
            raise BadInput(
                f"ancestral: hold_share in (0, 1], rho ≥ 1 and clamp_margin ≥ 0 are needed, "
                f"not {self.hold_share}, {self.rho} and {self.clamp_margin}"
            )
        check_bounds("ancestral", self.clip, self.clip_norm, self.clamp)

    @classmethod
    def of(cls, kernel: Kernel, n_steps: int) -> Self:
        """Return the sampler of `n_steps` for an energy that was trained with `kernel`.

        Raises:
            BadInput: fewer than 8 steps; a kernel without noise levels, whose energy is no denoiser.
        """
        if not (isinstance(kernel, NoiseSchedule) and kernel.curvature > 0):
            raise BadInput("ancestral: this energy was trained at one temperature; use it with its own kernel")
        if n_steps < 8:
            raise BadInput(f"ancestral: at least 8 steps are needed, not {n_steps}")
        places = torch.arange(kernel.cycle, device="cpu")
        sigma, n_hold = kernel.sigma(places), min(5, n_steps // 4)
        return cls(
            curvature=kernel.curvature,
            sigma_max=round(float(sigma.max()), 6),
            sigma_min=round(float(sigma.min()), 6),
            n_hold=n_hold,
            n_anneal=n_steps - n_hold,
            clamp=kernel.clamp,
        )

    @property
    def step_size(self) -> float:
        """ε of the step that leads to D(x): ε²κ/2 = 1."""
        return (2 / self.curvature) ** 0.5

    @property
    def temperature(self) -> float:
        """T = κσ² at `sigma_min`, in units of energy."""
        return self.curvature * self.sigma_min**2

    @property
    def cycle(self) -> int:
        """Steps of a cycle, one gradient each; the sample takes one more (`samples_of`)."""
        return self.n_hold + self.n_anneal

    def table(self, device: torch.device) -> Table:
        """The numbers of each step of a cycle."""
        return _table(self, device)


@cache  # once a kernel and device
@torch.inference_mode(mode=False)  # they outlive it
def _table(kernel: Ancestral, device: torch.device) -> Table:
    t = torch.linspace(0, 1, kernel.n_anneal + 1, dtype=torch.float64, device="cpu")
    ends = kernel.sigma_max ** (1 / kernel.rho), kernel.sigma_min ** (1 / kernel.rho)
    sigma = (ends[0] + t * (ends[1] - ends[0])) ** kernel.rho
    kept = (sigma[1:] / sigma[:-1]).square()  # r²
    held = torch.full((kernel.n_hold,), kernel.hold_share, dtype=torch.float64, device="cpu")
    held[0] = 0  # a gradient at uniform noise, where no chain of training was, says nothing
    shares = torch.cat([held, 1 - kept])
    # Holding: (1 − c)²σ² + noise² = σ².
    noise = torch.cat([kernel.sigma_max * (1 - (1 - held).square()).sqrt(), sigma[1:] * (1 - kept).sqrt()])
    noise[0] = kernel.sigma_max
    level = levels(shares, noise, kernel.sigma_min)
    return Table(*(t.float().to(device) for t in (shares / kernel.curvature, noise, level)))
