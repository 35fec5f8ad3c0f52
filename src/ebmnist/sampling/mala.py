"""The Metropolis-adjusted Langevin algorithm: Langevin proposals, accepted so that the law is exact."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import check_bounds, clip_grad


@dataclass(frozen=True)
class MALA:
    """Propose y = x − (ε²/2)·clip(∇E(x)) + ε√T ξ; accept with probability min(1, p(y)q(x|y) / p(x)q(y|x)).

    q(y|x) = N(y; x − (ε²/2)·clip(∇E(x)), ε²T). The accept step makes exp(−E/T) exactly stationary, clipped drift
    or not (Roberts & Tweedie 1996; the truncated drift is their MALTA).

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 0.01
    """ε."""
    temperature: float = 1.0
    """T > 0, in units of energy."""
    clip: float | None = None
    """Bound on each component of ∇E in the proposal; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E in the proposal; null for none."""
    clamp: tuple[float, float] | None = None
    """The box the target is restricted to: proposals outside are refused; null for the whole space."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 < self.temperature < float("inf")):
            raise BadInput(
                f"mala: step_size and temperature must be > 0 and finite, not {self.step_size} and {self.temperature}"
            )
        check_bounds("mala", self.clip, self.clip_norm, self.clamp)

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains that start at `x`, (B, *shape), with the energy and gradient there."""
        return ChainState(x.detach(), *energy_and_grad(energy, x))

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Propose, then accept or stay."""
        x, value, grad = state[:3]
        assert value is not None
        assert grad is not None
        noise = rng.normal_like(x)
        y = self._mean(x, grad) + self.step_size * self.temperature**0.5 * noise
        value_y, grad_y = energy_and_grad(energy, y)

        # log α, Roberts & Tweedie 1996; the forward density's exponent is −‖ξ‖²/2 by construction.
        log_forward = -0.5 * noise.flatten(1).square().sum(1)
        back = (x - self._mean(y, grad_y)).flatten(1).square().sum(1)
        log_backward = -0.5 * back / (self.step_size**2 * self.temperature)
        log_alpha = (value - value_y) / self.temperature + log_backward - log_forward
        if self.clamp is not None:
            low, high = self.clamp
            outside = ((y < low) | (y > high)).flatten(1).any(1)
            log_alpha = log_alpha.masked_fill(outside, -torch.inf)

        u = rng.uniform_like(value)
        accepted = u.log() < log_alpha  # (B,); False for a NaN energy: such a proposal is never taken
        mask = per_sample(accepted, x)
        after = ChainState(
            torch.where(mask, y, x), torch.where(accepted, value_y, value), torch.where(mask, grad_y, grad)
        )
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        return after, StepInfo(value, grad, drift_grad, x, after.x, accepted)

    def _mean(self, x: Tensor, grad: Tensor) -> Tensor:
        return x - 0.5 * self.step_size**2 * clip_grad(grad, self.clip, self.clip_norm)
