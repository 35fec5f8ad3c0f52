"""Unadjusted Langevin dynamics, the sampler that trains the model."""

from dataclasses import dataclass

from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import check_bounds, clip_grad


@dataclass(frozen=True)
class Langevin:
    """x ← clamp(x − (ε²/2)·clip(∇E(x)) + ε√T ξ), ξ ~ N(0, 1).

    With `clamp_margin`, chains may leave the box a little, and samples are brought back to it. A wall that chains
    stand at hides from training what the energy would do with them (docs/concepts/clamp-margin.md).

    The Euler–Maruyama step of dX = −∇E dt + √(2T) dW with dt = ε²/2 (Roberts & Tweedie 1996; Welling & Teh 2011).
    T = 0 is gradient descent, to the bit. The defaults are the UvA tutorial 8's, in [0, 1] pixels.

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 5**0.5
    """ε, in pixels on [0, 1]; the drift is ε²/2 = 2.5 times the clipped gradient."""
    temperature: float = 1.25e-6
    """T ≥ 0, in units of energy; the noise has standard deviation ε√T = 0.0025 pixels."""
    clip: float | None = 0.06
    """Bound on each component of ∇E; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E; null for none."""
    clamp: tuple[float, float] | None = (0.0, 1.0)
    """Range that samples are in; null for none."""
    clamp_margin: float = 0.0
    """How far beyond `clamp` chains may go on their way, ≥ 0; four times the noise on the data lets it be."""
    noise_first: bool = False
    """Add the noise (and clamp) before the gradient is taken, as the tutorial does: same steps, other phase."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 <= self.temperature < float("inf")):
            raise BadInput(
                f"langevin: step_size > 0 and temperature ≥ 0, both finite, are needed, not {self.step_size} "
                f"and {self.temperature}"
            )
        if not self.clamp_margin >= 0:
            raise BadInput(f"langevin: clamp_margin must be ≥ 0, not {self.clamp_margin}")
        check_bounds("langevin", self.clip, self.clip_norm, self.clamp)

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains that start at `x`, (B, *shape)."""
        return ChainState(x.detach())

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step."""
        x = self._bounded(self._noised(state.x, rng)) if self.noise_first else state.x
        value, grad = energy_and_grad(energy, x)
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        x_after = x - 0.5 * self.step_size**2 * drift_grad
        if not self.noise_first:
            x_after = self._noised(x_after, rng)
        x_after = self._bounded(x_after)
        return ChainState(x_after), StepInfo(value, grad, drift_grad, state.x, x_after)

    def _noised(self, x: Tensor, rng: StepRng) -> Tensor:
        if self.temperature == 0:
            return x
        noise = rng.normal_like(x)
        return x + self.step_size * self.temperature**0.5 * noise

    def _bounded(self, x: Tensor) -> Tensor:
        return (
            x if self.clamp is None else x.clamp(self.clamp[0] - self.clamp_margin, self.clamp[1] + self.clamp_margin)
        )
