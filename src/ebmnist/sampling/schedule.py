"""What kernels with a noise schedule share: x ← clamp(x − drift_j·clip(∇E(x)) + s_j ξ), j the place in a cycle."""

from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.energies.levels import at_level
from ebmnist.native import StepNumbers
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, NoiseSchedule, StepInfo
from ebmnist.sampling.clipping import clip_grad


class Table(NamedTuple):
    """Of each step of a cycle, (cycle,) each, float32."""

    drift: Tensor  # what it multiplies the gradient by
    noise: Tensor  # standard deviation of the noise that it adds, in pixels
    sigma: Tensor  # σ of a chain after it, where E is quadratic


class Scheduled(NoiseSchedule, Protocol):
    """A noise schedule whose steps have this form, and so can be run in C++. A kernel adds its `table`.

    A kernel with steps of another form has `numbers` of its own.
    """

    evaluations: ClassVar[int] = 1
    """Of the gradient, in each step."""
    noise_first: ClassVar[bool] = False
    """Whether the first of `numbers` adds its noise before the gradient is taken."""

    @property
    def clamp_margin(self) -> float:
        """How far beyond `clamp` chains may go, in σ of their place, ≥ 0."""
        ...

    def table(self, device: torch.device) -> Table:
        """The numbers of each step, on `device`; made once, so that a step on a GPU waits for nothing from the host."""
        ...

    def sigma(self, step_index: Tensor) -> Tensor:
        """σ of the noise that chains have after step `step_index`, any shape."""
        return self.table(step_index.device).sigma[step_index % self.cycle]

    def drift(self, step_index: Tensor) -> Tensor:
        """What step `step_index`, any shape, multiplies the gradient by."""
        return self.table(step_index.device).drift[step_index % self.cycle]

    def noise(self, step_index: Tensor) -> Tensor:
        """Standard deviation of the noise that step `step_index`, any shape, adds."""
        return self.table(step_index.device).noise[step_index % self.cycle]

    def margin(self, step_index: Tensor) -> Tensor:
        """How far beyond `clamp` step `step_index` may lead, in pixels."""
        return self.clamp_margin * self.sigma(step_index)

    def numbers(self, step_index: Tensor) -> StepNumbers:
        """The numbers of steps `step_index`, (n_steps, B) or (n_steps, 1), as the C++ takes them."""
        return StepNumbers(self.drift(step_index), self.noise(step_index), self.margin(step_index))

    def bounded(self, x: Tensor, step_index: Tensor) -> Tensor:
        """Bring chains at `x`, (B, *shape), to where step `step_index`, (B,), may lead."""
        if self.clamp is None:
            return x
        low, high = self.clamp
        clamp_margin = per_sample(self.margin(step_index).to(x.dtype), x)
        return x.clamp(low - clamp_margin, high + clamp_margin)

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains at `x`, (B, *shape), after `step_index` steps, (B,); at their start if not given."""
        start = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return ChainState(x.detach(), step_index=start if step_index is None else step_index)

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step, each by the drift and noise of its own place."""
        x, step_index = state.x, state.step_index
        assert step_index is not None
        value, grad = energy_and_grad(at_level(energy, self.sigma(step_index - 1)), x)  # that the chain now has
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        noise = rng.normal_like(x)
        noise *= per_sample(self.noise(step_index).to(x.dtype), x)
        x_after = x - per_sample(self.drift(step_index).to(x.dtype), x) * drift_grad + noise
        x_after = self.bounded(x_after, step_index)
        return ChainState(x_after, step_index=step_index + 1), StepInfo(value, grad, drift_grad, x, x_after)


def levels(shares: Tensor, noise: Tensor, last: float) -> Tensor:
    """Return the σ that a chain has after each step of a cycle where E = κ‖x − data‖²/2, (cycle,), double.

    A step that goes the share c of its way to the data makes a chain's variance v into (1 − c)²v + noise². From cycle
    to cycle v soon comes round.

    Args:
        shares: c = drift·κ of each step, (cycle,).
        noise: of each step, (cycle,).
        last: σ at the end of a cycle, to begin with.
    """
    variance, level = last**2, torch.empty_like(noise)
    for place in [*range(len(noise))] * 3:
        variance = (1 - float(shares[place])) ** 2 * variance + float(noise[place]) ** 2
        level[place] = variance**0.5
    return level
