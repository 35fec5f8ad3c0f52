"""DPM-Solver++, a multistep method: the denoiser's last two values predict the next, at one gradient a step."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.energies.levels import at_level
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import clip_grad
from ebmnist.sampling.diffusion import DiffusionSampler
from ebmnist.sampling.schedule import Table


class _Numbers(NamedTuple):
    """Of each step of a cycle, (cycle,) each, float32."""

    share: Tensor  # of the way to D that a step goes
    extrapolation: Tensor  # h_j/(2h_{j−1}): how far beyond D the last change of D is followed
    noise: Tensor
    sigma: Tensor  # σ of a chain after it


@dataclass(frozen=True)
class DPMSolver(DiffusionSampler):
    """x ← D̃ + r^(1+τ²)·(x − D̃) + σ_{j+1}·√(1 − r^(2τ²))·ξ, with D̃ = D_j + h_j/(2h_{j−1})·(D_j − D_{j−1}).

    r is σ_{j+1}/σ_j and h_j = log(σ_j/σ_{j+1}). τ = 0 is DPM-Solver++(2M), τ = 1 its stochastic form
    (Lu et al. 2022, algorithm 2 and appendix). The first of the annealing steps, and of a chain, is of first order.

    Raises:
        BadInput: a field out of its range.
    """

    tau: float = 1.0
    """Stochasticity τ ≥ 0: 0 adds no noise, 1 as much as ancestral sampling."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.tau < float("inf"):
            raise BadInput(f"dpm_solver: tau must be ≥ 0 and finite, not {self.tau}")

    @classmethod
    def name(cls) -> str:
        """What messages call it."""
        return "dpm_solver"

    def table(self, device: torch.device) -> Table:
        """The numbers of each step of a cycle, but for the extrapolation."""
        numbers = _numbers(self, device)
        return Table(numbers.share / self.curvature, numbers.noise, numbers.sigma)

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step, each by the numbers of its own place; D is kept for the next."""
        x, step_index = state.x, state.step_index
        assert step_index is not None
        at = step_index % self.cycle
        share, beyond, noise = (per_sample(n[at].to(x.dtype), x) for n in _numbers(self, x.device)[:3])
        value, grad = energy_and_grad(at_level(energy, self.sigma(step_index - 1)), x)
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        denoised = x - drift_grad / self.curvature
        (last,) = state.memory or (denoised,)
        predicted = denoised + beyond * (denoised - last)
        x_after = self.bounded(x + share * (predicted - x) + noise * rng.normal_like(x), step_index)
        after = ChainState(x_after, step_index=step_index + 1, memory=(denoised,))
        return after, StepInfo(value, grad, drift_grad, x, x_after)


@cache  # once a kernel and device
@torch.inference_mode(mode=False)  # they outlive it
def _numbers(kernel: DPMSolver, device: torch.device) -> _Numbers:
    sigma, (held, held_noise) = kernel.spaced(), kernel.held()
    r = sigma[1:] / sigma[:-1]
    h = -r.log()
    beyond = torch.zeros_like(h)
    beyond[1:] = 0.5 * h[1:] / h[:-1]
    numbers = (
        torch.cat([held, 1 - r ** (1 + kernel.tau**2)]),
        torch.cat([torch.zeros_like(held), beyond]),
        torch.cat([held_noise, sigma[1:] * (1 - r ** (2 * kernel.tau**2)).sqrt()]),
        torch.cat([torch.full_like(held, kernel.sigma_max), sigma[1:]]),
    )
    return _Numbers(*(t.float().to(device) for t in numbers))
