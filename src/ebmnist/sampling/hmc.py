"""Hamiltonian Monte Carlo: trajectories with momentum, accepted so that the law is exact."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import check_bounds, clip_grad


@dataclass(frozen=True)
class HMC:
    """Draw a momentum p ~ N(0, T), take `n_leapfrog` leapfrog steps, accept with probability min(1, exp(−ΔH/T)).

    H(x, p) = E(x) + ‖p‖²/2. A leapfrog step: p ← p − (ε/2)∇E(x), x ← x + εp, p ← p − (ε/2)∇E(x)
    (Duane et al. 1987; Neal 2011, section 5.2). One leapfrog step proposes what `mala` does. A step of the kernel takes
    `n_leapfrog` gradients. Clipped gradients still preserve volume and reverse, so the law stays exact.

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 0.01
    """ε, of a leapfrog step."""
    temperature: float = 1.0
    """T > 0, in units of energy."""
    n_leapfrog: int = 8
    """Leapfrog steps of a trajectory, ≥ 1."""
    clip: float | None = None
    """Bound on each component of ∇E in the trajectory; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E in the trajectory; null for none."""
    clamp: tuple[float, float] | None = None
    """The box the target is restricted to: proposals outside are refused; null for the whole space."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 < self.temperature < float("inf")):
            raise BadInput(
                f"hmc: step_size and temperature must be > 0 and finite, not {self.step_size} and {self.temperature}"
            )
        if self.n_leapfrog < 1:
            raise BadInput(f"hmc: n_leapfrog must be ≥ 1, not {self.n_leapfrog}")
        check_bounds("hmc", self.clip, self.clip_norm, self.clamp)

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains that start at `x`, (B, *shape), with the energy and gradient there."""
        return ChainState(x.detach(), *energy_and_grad(energy, x))

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Follow a trajectory, then accept its end or stay."""
        x, value, grad = state[:3]
        assert value is not None
        assert grad is not None
        p = self.temperature**0.5 * rng.normal_like(x)
        h = value + 0.5 * p.flatten(1).square().sum(1)
        y, value_y, grad_y = x, value, grad
        for _ in range(self.n_leapfrog):
            p = p - 0.5 * self.step_size * clip_grad(grad_y, self.clip, self.clip_norm)
            y = y + self.step_size * p
            value_y, grad_y = energy_and_grad(energy, y)
            p = p - 0.5 * self.step_size * clip_grad(grad_y, self.clip, self.clip_norm)
        log_alpha = (h - value_y - 0.5 * p.flatten(1).square().sum(1)) / self.temperature
        if self.clamp is not None:
            outside = ((y < self.clamp[0]) | (y > self.clamp[1])).flatten(1).any(1)
            log_alpha = log_alpha.masked_fill(outside, -torch.inf)
        accepted = rng.uniform_like(value).log() < log_alpha  # False for a NaN energy: never taken
        mask = per_sample(accepted, x)
        after = ChainState(
            torch.where(mask, y, x), torch.where(accepted, value_y, value), torch.where(mask, grad_y, grad)
        )
        return after, StepInfo(value, grad, clip_grad(grad, self.clip, self.clip_norm), x, after.x, accepted)
