"""Acceptance: how often a sampler that is exact on the box would take the steps that the kernel takes."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.random import AnyRng, Rng, StepRng
from ebmnist.sampling.base import ChainState, Kernel, StepInfo
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.clipping import clip_grad
from ebmnist.sampling.mala import MALA


@dataclass(frozen=True)
class ReflectedMALA(MALA):
    """MALA whose proposals are reflected at the walls of the box, so that exp(−E/T) on it is exactly stationary.

    The proposal y is z = x − (ε²/2)·clip(∇E(x)) + ε√T ξ, mirrored into the box. Its density is q(y|x) =
    Π_i Σ_k N(y_ik; mean_i, ε²T) over each pixel's images y, 2·low − y and 2·high − y. A z more than a box's width
    outside is refused. MALA itself refuses every proposal with one pixel outside. Where chains stand at the clamp,
    that is all of them. On the whole space it takes all of them, out of the box, where no energy was trained.
    """

    adjusted: bool = True
    """False takes every proposal: not exact, but chains settle fast."""

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Propose, then accept or stay."""
        x, value, grad = state[:3]
        assert value is not None
        assert grad is not None
        mean = self._mean(x, grad)
        noise = rng.normal_like(x)
        y = self._mirrored(mean + self.step_size * self.temperature**0.5 * noise)
        value_y, grad_y = energy_and_grad(energy, y)
        log_alpha = (value - value_y) / self.temperature - self._log_q(y, mean)
        log_alpha = log_alpha + self._log_q(x, self._mean(y, grad_y))
        u = rng.uniform_like(value)
        accepted = u.log() < log_alpha if self.adjusted else torch.ones_like(value, dtype=torch.bool)
        if self.clamp is not None:
            low, high = self.clamp
            accepted = accepted & ((y >= low) & (y <= high)).flatten(1).all(1)
        mask = per_sample(accepted, x)
        after = ChainState(
            torch.where(mask, y, x), torch.where(accepted, value_y, value), torch.where(mask, grad_y, grad)
        )
        drift_grad = clip_grad(grad, self.clip, self.clip_norm)
        return after, StepInfo(value, grad, drift_grad, x, after.x, accepted)

    def _mirrored(self, z: Tensor) -> Tensor:
        if self.clamp is None:
            return z
        low, high = self.clamp
        return torch.where(z < low, 2 * low - z, torch.where(z > high, 2 * high - z, z))

    def _log_q(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return log q up to a constant, (B,)."""
        images = [y] if self.clamp is None else [y, *(2 * wall - y for wall in self.clamp)]
        square = (torch.stack(images) - mean).square() / (self.step_size**2 * self.temperature)
        return torch.logsumexp(-0.5 * square, dim=0).flatten(1).sum(1)


def mala_acceptance(
    energy: Energy,
    kernel: Kernel,
    x: Tensor,
    *,
    rng: AnyRng,
    n_steps: int = 10,
    n_settle: int = 50,
    scales: Sequence[float] = (1.0,),
) -> Tensor:
    """Return the share of `ReflectedMALA`'s proposals from `x`, (B, *shape), that are accepted, (len(scales), B).

    Temperature T > 0, clip, box and, times each scale, step size are the kernel's. Before each scale the chains go on
    by `n_settle` unadjusted steps a quarter as long: they must stand near exp(−E/T) before acceptance means anything.
    Where the kernel left them they do not: the clamp puts pixels exactly on a wall, and on its own law a kernel's steps
    look reversible, so that half of any are accepted. In float64, because (E(y) − E(x))/T at T near 1e-6 is rounding
    noise in less.
    """
    exact = deepcopy(energy).double() if isinstance(energy, nn.Module) else energy
    shares, rng = [], Rng.of(rng)
    for scale in scales:
        own = (kernel.temperature, kernel.clip, kernel.clip_norm, kernel.clamp)
        mala = ReflectedMALA(scale * kernel.step_size, *own)
        settling = replace(mala, step_size=mala.step_size / 4, adjusted=False)
        x = run_chain(energy, settling, x, n_settle, rng=rng).x
        trace = run_chain(exact, mala, x.double(), n_steps, rng=rng, record=True).trace
        assert trace is not None
        shares.append(trace.accepted.double().mean(0))
    return torch.stack(shares)
