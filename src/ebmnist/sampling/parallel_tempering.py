"""Parallel tempering: replicas at higher temperatures cross barriers, and exchange places with the chain."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad, per_sample
from ebmnist.errors import BadInput
from ebmnist.random import StepRng
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.clipping import check_bounds
from ebmnist.sampling.mala import MALA


@dataclass(frozen=True)
class ParallelTempering:
    """MALA on replicas at T, Tq, Tq², …, q = `ratio`; then neighbours exchange places where that keeps the law.

    Replicas at T_i < T_j exchange with probability min(1, exp((1/T_i − 1/T_j)(E_i − E_j))); even and odd neighbours
    take turns by chance (Swendsen & Wang 1986; Geyer 1991; Earl & Deem
    2005). A chain's x is its coldest replica; all begin where it begins. A step takes `n_replicas` gradients.

    Raises:
        BadInput: a field out of its range.
    """

    step_size: float = 0.01
    """ε of every replica; the noise, ε√T, grows with its temperature."""
    temperature: float = 1.0
    """T > 0 of the coldest replica, in units of energy."""
    n_replicas: int = 4
    """Replicas of each chain, 2 to 6."""
    ratio: float = 2.0
    """Of each temperature to the next lower one, > 1."""
    clip: float | None = None
    """Bound on each component of ∇E in the proposals; null for none."""
    clip_norm: float | None = None
    """Bound on the Euclidean norm of one sample's ∇E in the proposals; null for none."""
    clamp: tuple[float, float] | None = None
    """The box the target is restricted to: proposals outside are refused; null for the whole space."""

    def __post_init__(self) -> None:
        if not (0 < self.step_size < float("inf") and 0 < self.temperature < float("inf")):
            raise BadInput(
                f"parallel_tempering: step_size and temperature must be > 0 and finite, "
                f"not {self.step_size} and {self.temperature}"
            )
        if not (2 <= self.n_replicas <= 6 and 1 < self.ratio < float("inf")):
            raise BadInput(
                f"parallel_tempering: n_replicas from 2 to 6 and ratio > 1 are needed, "
                f"not {self.n_replicas} and {self.ratio}"
            )
        check_bounds("parallel_tempering", self.clip, self.clip_norm, self.clamp)

    @property
    def replicas(self) -> list[MALA]:
        """The kernel of each replica, the coldest first."""
        return [
            MALA(self.step_size, self.temperature * q, self.clip, self.clip_norm, self.clamp)
            for q in (self.ratio**i for i in range(self.n_replicas))
        ]

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:  # noqa: ARG002 (the Protocol's)
        """Chains whose replicas all start at `x`, (B, *shape), with the energy and gradient there."""
        return _joined([ChainState(x.detach(), *energy_and_grad(energy, x))] * self.n_replicas)

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every replica, then exchange; the info is of the coldest before the exchange, but for `x_after`."""
        cold, *hotter = (
            kernel.step(energy, replica, rng) for kernel, replica in zip(self.replicas, _split(state), strict=True)
        )
        replicas = [cold[0], *(after for after, _ in hotter)]
        draws = rng.uniform((len(state.x), self.n_replicas), state.x.dtype)
        odd = draws[:, -1] < 0.5
        for i in range(self.n_replicas - 1):
            beta = 1 / (self.temperature * self.ratio**i)
            log_alpha = beta * (1 - 1 / self.ratio) * (_energy(replicas[i]) - _energy(replicas[i + 1]))
            accepted = (odd if i % 2 else ~odd) & (draws[:, i].log() < log_alpha)
            replicas[i], replicas[i + 1] = (
                _chosen(accepted, replicas[i + 1], replicas[i]),
                _chosen(accepted, replicas[i], replicas[i + 1]),
            )
        return _joined(replicas), cold[1]._replace(x_after=replicas[0].x)


def _energy(state: ChainState) -> Tensor:
    assert state.energy is not None
    return state.energy


def _grad(state: ChainState) -> Tensor:
    assert state.grad is not None
    return state.grad


def _joined(replicas: list[ChainState]) -> ChainState:
    """The coldest, with the others behind it: x and gradient (B, K − 1, *shape), energy (B, K − 1)."""
    cold, *hotter = replicas
    memory = tuple(torch.stack([part(r) for r in hotter], dim=1) for part in (_x, _energy, _grad))
    return ChainState(cold.x, cold.energy, cold.grad, memory=memory)


def _x(state: ChainState) -> Tensor:
    return state.x


def _split(state: ChainState) -> list[ChainState]:
    x, energy, grad = state.memory
    hotter = [ChainState(x[:, i], energy[:, i], grad[:, i]) for i in range(x.shape[1])]
    return [ChainState(state.x, state.energy, state.grad), *hotter]


def _chosen(mask: Tensor, a: ChainState, b: ChainState) -> ChainState:
    """Chain by chain a where `mask`, (B,), is set, and b elsewhere."""
    x, grad = torch.where(per_sample(mask, a.x), a.x, b.x), torch.where(per_sample(mask, a.x), _grad(a), _grad(b))
    return ChainState(x, torch.where(mask, _energy(a), _energy(b)), grad)
