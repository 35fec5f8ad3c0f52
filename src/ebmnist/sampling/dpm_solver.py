"""DPM-Solver++, a multistep method: the denoiser's last two values predict the next, at one gradient a step."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.energies.levels import at_level
from ebmnist.native import StepNumbers
from ebmnist.random import StepRng
from ebmnist.sampling.ancestral import Ancestral
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import clip_grad


@dataclass(frozen=True)
class DPMSolver(Ancestral):
    """Ancestral sampling with D̃ = D_j + h_j/(2h_{j−1})·(D_j − D_{j−1}) for D_j, where h_j = log(σ_j/σ_{j+1}).

    τ = 0 is DPM-Solver++(2M), τ = 1 its stochastic form (Lu et al. 2022, algorithm 2 and appendix). The first of the
    annealing steps, and of a chain, is of first order.

    Raises:
        BadInput: a field out of its range.
    """

    @classmethod
    def name(cls) -> str:
        """What messages call it."""
        return "dpm_solver"

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step, each by the numbers of its own place; D is kept for the next."""
        x, step_index = state.x, state.step_index
        assert step_index is not None
        value, grad = energy_and_grad(at_level(energy, self.sigma(step_index - 1)), x)
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        denoised = x - drift_grad / self.curvature
        (last,) = state.memory or (denoised,)
        beyond = per_sample(_beyond(self, x.device)[step_index % self.cycle].to(x.dtype), x)
        predicted = denoised + beyond * (denoised - last)
        share = per_sample((self.curvature * self.drift(step_index)).to(x.dtype), x)
        noise = per_sample(self.noise(step_index).to(x.dtype), x) * rng.normal_like(x)
        x_after = self.bounded(x + share * (predicted - x) + noise, step_index)
        after = ChainState(x_after, step_index=step_index + 1, memory=(denoised,))
        return after, StepInfo(value, grad, drift_grad, x, x_after)

    def numbers(self, step_index: Tensor) -> StepNumbers:
        """As those of ancestral sampling; D is remembered, and leads on."""
        lead = self.curvature * self.drift(step_index) * _beyond(self, step_index.device)[step_index % self.cycle]
        keep = torch.full_like(lead, 1 / self.curvature)
        return super().numbers(step_index)._replace(lead=lead, keep=keep)


@cache  # once a kernel and device
@torch.inference_mode(mode=False)  # it outlives it
def _beyond(kernel: DPMSolver, device: torch.device) -> Tensor:
    """Return h_j/(2h_{j−1}) of each step of a cycle, (cycle,): 0 where there is no step before on another level."""
    h = -kernel.spaced().log().diff()
    beyond = torch.zeros(kernel.cycle, dtype=torch.float64, device="cpu")
    beyond[kernel.n_hold + 1 :] = 0.5 * h[1:] / h[:-1]
    return beyond.float().to(device)
