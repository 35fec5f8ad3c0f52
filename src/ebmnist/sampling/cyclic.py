"""Langevin dynamics in cycles of temperature: warm, where chains walk far, then cooled to where they are images."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ebmnist.energy.base import Energy, energy_and_grad
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import check_bounds, clip_grad


@dataclass(frozen=True)
class Cyclic:
    """x ← clamp(x − (ε²/2)·clip(∇E(x)) + ε√T_j ξ), j the step's place in its cycle, ξ ~ N(0, 1).

    At temperature T_j = κσ_j² the energy is to hold data smoothed by Gaussian noise σ_j: near the data, at whatever
    noise, E is κ/2 times the squared distance to them (docs/theory.md, section 7.1). The first step of a cycle has
    noise of σ = `hot` itself instead of ε√T_j; a chain walks on there, `n_hot` steps in all, and cools by equal ratios,
    in `n_cool` steps, to σ = `cold`, where it is an image: mostly another one, if `hot` is enough to forget the last.
    Walk and jump are Saremi & Hyvärinen's (2019), cycles Zhang et al.'s (2020); here one energy gives both, and the
    jump to the image is a chain too.
    Chains are samples at the end of a cycle only; a chain's clock counts its steps.

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 5**0.5
    """ε, in pixels on [0, 1]; the drift is ε²/2 = 2.5 times the clipped gradient."""
    temperature: float = 5e-6
    """T at the end of a cycle, ≥ 0, in units of energy; it is κσ², and so sets the energy's scale."""
    hot: float = 2.0
    """σ at the beginning of a cycle, ≥ `cold`, in pixels on [0, 1]; at 2, four cycles in five end at another digit."""
    cold: float = 0.01
    """σ at its end, > 0."""
    n_hot: int = 8
    """Steps at σ = `hot`, the jump included, ≥ 1."""
    n_cool: int = 120
    """Steps from there to σ = `cold`, ≥ 1."""
    clip: float | None = 1.0
    """Bound on each component of ∇E; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E; null for none."""
    clamp: tuple[float, float] | None = (0.0, 1.0)
    """Range that samples are in; null for none."""
    slack: float = 4.0
    """How far beyond `clamp` chains, and the noise on data, may go, ≥ 0, in σ of their place (theory, section 7.2)."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 <= self.temperature < float("inf")):
            raise BadInput(
                f"cyclic: step_size > 0 and temperature ≥ 0, both finite, are needed, not {self.step_size} "
                f"and {self.temperature}"
            )
        if not 0 < self.cold <= self.hot or min(self.n_hot, self.n_cool) < 1:
            raise BadInput(
                f"cyclic: 0 < cold ≤ hot and n_hot, n_cool ≥ 1 are needed, not {self.cold}, {self.hot}, {self.n_hot} "
                f"and {self.n_cool}"
            )
        if not 0.5 * self.step_size**2 * self.curvature < 1:
            raise BadInput(
                f"cyclic: ε²κ/2 must be < 1, or steps overshoot; it is {0.5 * self.step_size**2 * self.curvature:.3g}"
            )
        if not self.slack >= 0:
            raise BadInput(f"cyclic: slack must be ≥ 0, not {self.slack}")
        check_bounds("cyclic", self.clip, self.clip_norm, self.clamp)

    @property
    def curvature(self) -> float:
        """κ = T/σ², the curvature of E around the data; a step goes the share ε²κ/2 of its way to them."""
        return self.temperature / self.cold**2

    @property
    def cycle(self) -> int:
        """Steps of a cycle."""
        return self.n_hot + self.n_cool

    def level(self, clock: Tensor) -> Tensor:
        """σ of the noise on data that chains are held to by the step of this clock; any shape."""
        return _table(self, clock.device)[1][clock % self.cycle]

    def noise(self, clock: Tensor) -> Tensor:
        """Standard deviation of the noise in the step of this clock, ε√T_j; `hot` in the first of a cycle."""
        return _table(self, clock.device)[0][clock % self.cycle]

    def beyond(self, clock: Tensor) -> Tensor:
        """How far beyond `clamp` the step of this clock may lead, in pixels."""
        return self.slack * self.level(clock)

    def init(self, energy: Energy, x: Tensor, clock: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains at `x`, (B, *shape), after `clock` steps, (B,); at their start if not given."""
        start = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return ChainState(x.detach(), clock=start if clock is None else clock)

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step."""
        x, clock = state.x, state.clock
        assert clock is not None
        value, grad = energy_and_grad(energy, x)
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        noise = rng.normal_like(x)
        noise *= _per_chain(self.noise(clock), x)
        x_after = x - 0.5 * self.step_size**2 * drift_grad + noise
        if self.clamp is not None:
            low, high = self.clamp
            slack = _per_chain(self.beyond(clock), x)
            x_after = x_after.clamp(low - slack, high + slack)
        return ChainState(x_after, clock=clock + 1), StepInfo(value, grad, drift_grad, x, x_after)


def _per_chain(values: Tensor, x: Tensor) -> Tensor:
    """(B,) as a factor for (B, *shape)."""
    return values.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


@cache  # once a kernel and device: a step on a GPU then waits for nothing from the host
@torch.inference_mode(mode=False)  # they outlive it
def _table(kernel: Cyclic, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of each step of a cycle: the noise it adds, and the σ that a chain then has where E = κ‖x − data‖²/2.

    A step makes a chain's variance v into (1 − hκ)²v + noise², h = ε²/2; from cycle to cycle v soon comes round.
    """
    share = 0.5 * kernel.step_size**2 * kernel.curvature
    cooled = (torch.arange(kernel.cycle) - kernel.n_hot + 1).clamp_min(0) / kernel.n_cool
    noise = (2 * share) ** 0.5 * kernel.hot * (kernel.cold / kernel.hot) ** cooled.double()
    noise[0] = kernel.hot
    variance, level = kernel.cold**2, torch.empty_like(noise)
    for place in [*range(kernel.cycle)] * 3:
        variance = (1 - share) ** 2 * variance + float(noise[place]) ** 2
        level[place] = variance**0.5
    return noise.float().to(device), level.float().to(device)
