"""Heun's method on the probability-flow equation, with noise to correct errors: two gradients a step."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.energies.levels import at_level
from ebmnist.errors import BadInput
from ebmnist.native import StepNumbers
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import clip_grad
from ebmnist.sampling.diffusion import DiffusionSampler
from ebmnist.sampling.schedule import Table


class _Numbers(NamedTuple):
    """Of each step of a cycle, (cycle,) each, float32."""

    before: Tensor  # noise that is added before the gradient is taken
    euler: Tensor  # what multiplies the gradient in the Euler step
    second: Tensor  # what multiplies the gradient where the Euler step led; the Euler step then counts half
    after: Tensor  # noise that is added at the end: of the steps that hold σ_max
    sigma: Tensor  # σ of a chain after it


@dataclass(frozen=True)
class Heun(DiffusionSampler):
    """Karras et al. (2022), algorithm 2: dx/dσ = (x − D(x))/σ by Heun's method, from σ_j to σ_{j+1}.

    x̂ = x + √(σ̂² − σ_j²)·ξ with σ̂ = (1 + γ)σ_j and γ = min(churn/n_anneal, √2 − 1). An Euler step goes from x̂ to
    σ_{j+1}. The slope there is averaged with the first, and the step is taken again from x̂. `churn` = 0 is
    deterministic. A step takes two gradients.

    Raises:
        BadInput: a field out of its range.
    """

    evaluations: ClassVar[int] = 2
    noise_first: ClassVar[bool] = True
    churn: float = 30.0
    """S_churn ≥ 0: how much noise is added anew along the way, over all steps; 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.churn < float("inf"):
            raise BadInput(f"heun: churn must be ≥ 0 and finite, not {self.churn}")

    def table(self, device: torch.device) -> Table:
        """The Euler step's numbers, and σ."""
        numbers = _numbers(self, device)
        return Table(numbers.euler, numbers.after, numbers.sigma)

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step, each by the numbers of its own place."""
        x, step_index = state.x, state.step_index
        assert step_index is not None
        at = step_index % self.cycle
        before, euler, second, after = (per_sample(n[at].to(x.dtype), x) for n in _numbers(self, x.device)[:4])
        noise = rng.normal_like(x)
        x_hat = x + before * noise
        sigma_hat = (self.sigma(step_index - 1).square() + before.flatten().square()).sqrt()
        value, grad = energy_and_grad(at_level(energy, sigma_hat), x_hat)
        first = clip_grad(grad, self.clip, self.clip_norm)
        drift = euler * first
        # Steps that hold σ_max do not use it; to look which chains are there, the host would wait for the device.
        told = at_level(energy, self.sigma(step_index))
        again = clip_grad(energy_and_grad(told, x_hat - drift)[1], self.clip, self.clip_norm)
        drift = torch.where(second > 0, 0.5 * drift + second * again, drift)
        x_after = self.bounded(x_hat - drift + after * noise, step_index)
        return ChainState(x_after, step_index=step_index + 1), StepInfo(value, grad, first, x, x_after)

    def numbers(self, step_index: Tensor) -> StepNumbers:
        """Two rows a step: the first remembers x̂ with half of the Euler step, the second goes on from there.

        The first adds its noise before the gradient, and is not bounded. Of steps that hold σ_max the
        second adds the noise, and takes no gradient.
        """
        at = step_index % self.cycle
        before, euler, second, after = (n[at] for n in _numbers(self, step_index.device)[:4])
        free, none, back = torch.full_like(euler, torch.inf), torch.zeros_like(euler), -(second > 0).to(euler.dtype)
        rows = (
            (euler, second),
            (before, after),
            (free, self.margin(step_index)),
            (none, back),
            (0.5 * euler, none),
        )
        return StepNumbers(*(torch.stack(pair, 1).flatten(0, 1) for pair in rows))


@cache  # once a kernel and device
@torch.inference_mode(mode=False)  # they outlive it
def _numbers(kernel: Heun, device: torch.device) -> _Numbers:
    sigma, (held, held_noise) = kernel.spaced(), kernel.held()
    old, new, none = sigma[:-1], sigma[1:], torch.zeros_like(held)
    gamma = min(kernel.churn / kernel.n_anneal, 2**0.5 - 1)
    raised = (1 + gamma) * old
    # Slope (x − D)/σ = ∇E/(κσ), so an Euler step from σ̂ to σ' is −(1 − σ'/σ̂)·∇E/κ.
    numbers = (
        torch.cat([none, (raised.square() - old.square()).sqrt()]),
        torch.cat([held, 1 - new / raised]) / kernel.curvature,
        torch.cat([none, 0.5 * (raised - new) / new]) / kernel.curvature,
        torch.cat([held_noise, torch.zeros_like(old)]),
        torch.cat([torch.full_like(held, kernel.sigma_max), new]),
    )
    return _Numbers(*(t.float().to(device) for t in numbers))
