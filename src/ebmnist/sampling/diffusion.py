"""What samplers of diffusion models share: noise levels from σ_max to σ_min, and chains that first come to σ_max."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.sampling.base import Kernel, NoiseSchedule, is_denoiser
from ebmnist.sampling.clipping import check_bounds
from ebmnist.sampling.schedule import Scheduled


@dataclass(frozen=True)
class DiffusionSampler(Scheduled):
    """Base of the samplers that need a denoiser at every noise level, D(x) = x − ∇E(x)/κ, and nothing else.

    D is the denoiser of an energy trained at all noise levels (docs/concepts/annealing.md). The levels are those of
    Karras et al. (2022), eq. 5.

    The first step of a cycle adds noise of `sigma_max` to whatever is there, and follows no gradient. Langevin steps
    then hold that level, so that chains come to have the mean and the covariance of noisy data. After `n_hold` steps in
    all, `n_anneal` steps lead to `sigma_min`; they are what a sampler adds.

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
        name = self.name()
        if not 0 < self.curvature < float("inf"):
            raise BadInput(f"{name}: the energy's curvature κ must be > 0 and finite, not {self.curvature}")
        if not 0 < self.sigma_min <= self.sigma_max < float("inf"):
            raise BadInput(f"{name}: 0 < sigma_min ≤ sigma_max is needed, not {self.sigma_min} and {self.sigma_max}")
        if min(self.n_hold, self.n_anneal) < 1:
            raise BadInput(f"{name}: n_hold and n_anneal must be ≥ 1, not {self.n_hold} and {self.n_anneal}")
        if not (0 < self.hold_share <= 1 <= self.rho < float("inf") and self.clamp_margin >= 0):
            raise BadInput(
                f"{name}: hold_share in (0, 1], rho ≥ 1 and clamp_margin ≥ 0 are needed, "
                f"not {self.hold_share}, {self.rho} and {self.clamp_margin}"
            )
        check_bounds(name, self.clip, self.clip_norm, self.clamp)

    @classmethod
    def name(cls) -> str:
        """What messages call it."""
        return cls.__name__.lower()

    @classmethod
    def of(cls, kernel: Kernel, n_steps: int, n_hold: int = 5) -> Self:
        """Return the sampler of `n_steps` for an energy that was trained with `kernel`.

        `n_hold` of them hold the largest noise, and at most a quarter.

        Raises:
            BadInput: fewer than 8 steps; a kernel without noise levels, whose energy is no denoiser.
        """
        if not is_denoiser(kernel):
            raise BadInput(
                f"{cls.name()}: this energy was trained at one temperature; use the kernel that trained it "
                "(in a recipe evaluation.sampler null)"
            )
        if n_steps < 8:
            raise BadInput(f"{cls.name()}: at least 8 steps are needed, not {n_steps}")
        assert isinstance(kernel, NoiseSchedule)
        places = torch.arange(kernel.cycle, device="cpu")
        sigma, n_hold = kernel.sigma(places), min(n_hold, n_steps // 4)
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
        """Steps of a cycle; the sample takes one gradient more (`samples_of`)."""
        return self.n_hold + self.n_anneal

    def spaced(self) -> Tensor:
        """σ before the first of the annealing steps and after each, (n_anneal + 1,), double: Karras et al., eq. 5."""
        t = torch.linspace(0, 1, self.n_anneal + 1, dtype=torch.float64, device="cpu")
        ends = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return (ends[0] + t * (ends[1] - ends[0])) ** self.rho

    def held(self) -> tuple[Tensor, Tensor]:
        """Share of its way to D(x), and noise, of each step that holds σ_max, (n_hold,) each, double.

        (1 − share)²σ² + noise² = σ². The first goes nowhere: a gradient at uniform noise, where no chain of training
        was, says nothing.
        """
        shares = torch.full((self.n_hold,), self.hold_share, dtype=torch.float64, device="cpu")
        shares[0] = 0
        noise = self.sigma_max * (1 - (1 - shares).square()).sqrt()
        noise[0] = self.sigma_max
        return shares, noise
