"""What kernels with a noise schedule share: x ← clamp(x − drift_j·clip(∇E(x)) + s_j ξ), j the place in a cycle."""

from typing import Protocol

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, NoiseSchedule, StepInfo
from ebmnist.sampling.clipping import clip_grad


class Scheduled(NoiseSchedule, Protocol):
    """A noise schedule whose steps all have this form, and so can be run in C++."""

    def drift(self, step_index: Tensor) -> Tensor:
        """What step `step_index`, any shape, multiplies the gradient by."""
        ...

    def noise(self, step_index: Tensor) -> Tensor:
        """Standard deviation of the noise that step `step_index`, any shape, adds, in pixels."""
        ...


def begin(x: Tensor, step_index: Tensor | None) -> ChainState:
    """Chains at `x`, (B, *shape), after `step_index` steps, (B,); at their start if not given."""
    start = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    return ChainState(x.detach(), step_index=start if step_index is None else step_index)


def scheduled_step(kernel: Scheduled, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
    """Move every chain one step, each by the drift and noise of its own place."""
    x, step_index = state.x, state.step_index
    assert step_index is not None
    value, grad = energy_and_grad(energy, x)
    drift_grad = clip_grad(grad, kernel.clip, kernel.clip_norm)
    noise = rng.normal_like(x)
    noise *= per_sample(kernel.noise(step_index).to(x.dtype), x)
    x_after = x - per_sample(kernel.drift(step_index).to(x.dtype), x) * drift_grad + noise
    if kernel.clamp is not None:
        low, high = kernel.clamp
        clamp_margin = per_sample(kernel.margin(step_index).to(x.dtype), x)
        x_after = x_after.clamp(low - clamp_margin, high + clamp_margin)
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
