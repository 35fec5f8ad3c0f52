"""Langevin dynamics in annealing cycles: high noise, where chains change digit, annealed to where they are images."""

from dataclasses import dataclass
from functools import cache

import torch

from ebmnist.errors import BadInput
from ebmnist.sampling.clipping import check_bounds
from ebmnist.sampling.schedule import Scheduled, Table, levels


@dataclass(frozen=True)
class AnnealedLangevin(Scheduled):
    """x ← clamp(x − (ε²/2)·clip(∇E(x)) + ε√T_j ξ), j the step's place in its cycle, ξ ~ N(0, 1).

    At temperature T_j = κσ_j² the energy is to hold data smoothed by Gaussian noise σ_j: near the data, at whatever
    noise, E is κ/2 times the squared distance to them (docs/concepts/annealing.md). The first step of a cycle has
    noise of σ = `sigma_max` itself instead of ε√T_j. A chain stays there for `n_hold` steps in all. Then σ falls by
    equal ratios, in `n_anneal` steps, to `sigma_min`, where the chain is an image.
    Holding and jumping are due to Saremi & Hyvärinen (2019), cycles to Zhang et al. (2020).
    Chains are samples at the end of a cycle only; a chain's `step_index` counts its steps.

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 5**0.5
    """ε, in pixels on [0, 1]; the drift is ε²/2 = 2.5 times the clipped gradient."""
    temperature: float = 5e-6
    """T at the end of a cycle, ≥ 0, in units of energy; it is κσ², and so sets the energy's scale."""
    sigma_max: float = 2.0
    """σ at the beginning of a cycle, ≥ `sigma_min`, in pixels on [0, 1]; at 2, most cycles end at another digit."""
    sigma_min: float = 0.01
    """σ at its end, > 0."""
    n_hold: int = 8
    """Steps at σ = `sigma_max`, the jump included, ≥ 1."""
    n_anneal: int = 120
    """Steps from there to σ = `sigma_min`, ≥ 1."""
    clip: float | None = 1.0
    """Bound on each component of ∇E; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E; null for none."""
    clamp: tuple[float, float] | None = (0.0, 1.0)
    """Range that samples are in; null for none."""
    clamp_margin: float = 4.0
    """How far beyond `clamp` chains, and the noise on data, may go, in σ of their place, ≥ 0
    (docs/concepts/clamp-margin.md)."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 <= self.temperature < float("inf")):
            raise BadInput(
                f"annealed_langevin: step_size > 0 and temperature ≥ 0, both finite, are needed, not {self.step_size} "
                f"and {self.temperature}"
            )
        if not 0 < self.sigma_min <= self.sigma_max or min(self.n_hold, self.n_anneal) < 1:
            raise BadInput(
                f"annealed_langevin: 0 < sigma_min ≤ sigma_max and n_hold, n_anneal ≥ 1 are needed, "
                f"not {self.sigma_min}, {self.sigma_max}, {self.n_hold} and {self.n_anneal}"
            )
        if not 0.5 * self.step_size**2 * self.curvature < 1:
            raise BadInput(
                f"annealed_langevin: ε²κ/2 must be < 1, or steps overshoot; "
                f"it is {0.5 * self.step_size**2 * self.curvature:.3g}"
            )
        if not self.clamp_margin >= 0:
            raise BadInput(f"annealed_langevin: clamp_margin must be ≥ 0, not {self.clamp_margin}")
        check_bounds("annealed_langevin", self.clip, self.clip_norm, self.clamp)

    @property
    def curvature(self) -> float:
        """κ = T/σ², the curvature of E around the data; a step goes the share ε²κ/2 of its way to them."""
        return self.temperature / self.sigma_min**2

    @property
    def cycle(self) -> int:
        """Steps of a cycle."""
        return self.n_hold + self.n_anneal

    def table(self, device: torch.device) -> Table:
        """The numbers of each step of a cycle."""
        return _table(self, device)


@cache  # once a kernel and device
@torch.inference_mode(mode=False)  # they outlive it
def _table(kernel: AnnealedLangevin, device: torch.device) -> Table:
    share = 0.5 * kernel.step_size**2 * kernel.curvature
    cooled = (torch.arange(kernel.cycle) - kernel.n_hold + 1).clamp_min(0) / kernel.n_anneal
    noise = (2 * share) ** 0.5 * kernel.sigma_max * (kernel.sigma_min / kernel.sigma_max) ** cooled.double()
    noise[0] = kernel.sigma_max
    level = levels(torch.full_like(noise, share), noise, kernel.sigma_min)
    drift = torch.full_like(noise, 0.5 * kernel.step_size**2)
    return Table(*(t.float().to(device) for t in (drift, noise, level)))
