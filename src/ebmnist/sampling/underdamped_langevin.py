"""Underdamped Langevin dynamics: chains with momentum and friction, one gradient a step."""

import math
from dataclasses import dataclass

from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import check_bounds, clip_grad


@dataclass(frozen=True)
class UnderdampedLangevin:
    """dx = p dt, dp = −∇E dt − γp dt + √(2γT) dW by BAOAB (Leimkuhler & Matthews 2013), with dt = ε.

    p ← p − (ε/2)∇E(x); x ← x + (ε/2)p; p ← e^(−γε)p + √(T(1 − e^(−2γε)))·ξ; x ← x + (ε/2)p; p ← p − (ε/2)∇E(x).
    No step is refused: where E is quadratic, the law of x is exact for every stable ε. A chain's first step draws its
    momentum from N(0, T). At the clamp, chains are reflected, position and momentum.

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 0.01
    """ε, in time; x moves by ε times the momentum."""
    temperature: float = 1.0
    """T ≥ 0, in units of energy."""
    friction: float = 1.0
    """γ > 0: 1/γ is how long a chain remembers its momentum."""
    clip: float | None = None
    """Bound on each component of ∇E; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E; null for none."""
    clamp: tuple[float, float] | None = None
    """The box that chains are reflected into; null for the whole space."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 <= self.temperature < float("inf")):
            raise BadInput(
                f"underdamped_langevin: step_size > 0 and temperature ≥ 0, both finite, are needed, "
                f"not {self.step_size} and {self.temperature}"
            )
        if not 0 < self.friction < float("inf"):
            raise BadInput(f"underdamped_langevin: friction must be > 0 and finite, not {self.friction}")
        check_bounds("underdamped_langevin", self.clip, self.clip_norm, self.clamp)

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains that start at `x`, (B, *shape), with the energy and gradient there."""
        return ChainState(x.detach(), *energy_and_grad(energy, x))

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step."""
        x, value, grad = state[:3]
        assert value is not None
        assert grad is not None
        kept = math.exp(-self.friction * self.step_size)
        noise = (self.temperature * (1 - kept**2)) ** 0.5 * rng.normal_like(x)
        (p,) = state.memory or (self.temperature**0.5 * rng.normal_like(x),)
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        p = p - 0.5 * self.step_size * drift_grad
        p = kept * (p_half := p) + noise
        y = x + 0.5 * self.step_size * (p_half + p)
        y, p = self._reflected(y, p)
        value_y, grad_y = energy_and_grad(energy, y)
        p = p - 0.5 * self.step_size * clip_grad(grad_y, self.clip, self.clip_norm)
        return ChainState(y, value_y, grad_y, memory=(p,)), StepInfo(value, grad, drift_grad, x, y)

    def _reflected(self, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Fold x into the box, as often as it takes; an odd number of walls turns the momentum round."""
        if self.clamp is None:
            return x, p
        low, high = self.clamp
        width = high - low
        place = (x - low).remainder(2 * width)
        turned = place > width
        return low + place.where(~turned, 2 * width - place).clamp(0, width), p.where(~turned, -p)
