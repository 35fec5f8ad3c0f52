"""Annealed importance sampling: chains carried from one density to another, weighing every passage (Neal 2001)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.errors import Unmeasurable
from ebmnist.inference.jackknife import jackknife
from ebmnist.random import AnyRng, ChainRng, Rng
from ebmnist.sampling.mala import MALA

ACCEPTANCE = 0.574  # optimal for MALA in high dimension (Roberts & Rosenthal 1998)


@dataclass(frozen=True)
class Bridge:
    """U_t = (1 − t) U₀ + t U₁: the geometric path from the base, t = 0, to the target, t = 1."""

    base: Energy
    target: Energy
    t: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return U_t(x), (B, D) -> (B,)."""
        return (1 - self.t) * self.base(x) + self.t * self.target(x)


class Annealed(NamedTuple):
    """Where the chains ended, what each passage weighed, and the MALA steps used."""

    x: Tensor  # (B, D)
    increments: Tensor  # (K, B), U_{k−1}(x) − U_k(x) at passage k = 1 … K
    step_sizes: tuple[float, ...]  # one per passage
    acceptance: float  # mean over steps and chains

    @property
    def log_weights(self) -> Tensor:
        """log w, (B,) float64: the mean of w is an unbiased estimate of Z_K/Z₀."""
        return self.increments.double().sum(0)


def anneal(
    energies: Sequence[Energy],
    x: Tensor,
    *,
    n_steps: int,
    rng: AnyRng,
    step_sizes: Sequence[float] | None = None,
    first_step_size: float = 0.1,
) -> Annealed:
    """Carry samples x of p₀ ∝ exp(−U₀), (B, D), through p₁ … p_K with `n_steps` MALA steps at each.

    With `step_sizes` given, one per passage, each transition leaves its p_k exactly invariant, so E[w] = Z_K/Z₀
    (Neal 2001, eq. 8). Without, each step is tuned to the acceptance before it: for pilots, not for weights.

    Cost: K (n_steps + 1) gradients of B samples.
    """
    chains = torch.arange(len(x), dtype=torch.int64, device=x.device)
    steps = iter(ChainRng(Rng.of(rng).stream(), chains, n_steps * (len(energies) - 1)))
    state = MALA().init(energies[0], x)
    size, sizes, increments, taken = first_step_size, [], [], []
    for k in range(1, len(energies)):
        before, state = state, MALA().init(energies[k], state.x)
        assert before.energy is not None
        assert state.energy is not None
        increments.append(before.energy - state.energy)
        size = size if step_sizes is None else step_sizes[k - 1]
        for _ in range(n_steps):
            state, info = MALA(step_size=size).step(energies[k], state, next(steps))
            assert info.accepted is not None
            taken.append(float(info.accepted.float().mean()))
            if step_sizes is None:
                size *= math.exp(0.3 * (taken[-1] - ACCEPTANCE))
        sizes.append(size)
    return Annealed(state.x, torch.stack(increments), tuple(sizes), sum(taken) / len(taken))


class LogMean(NamedTuple):
    """log of a mean of weights, its standard error, and the effective sample size (Σw)²/Σw²."""

    value: float  # nats
    error: float  # delete-a-group jackknife; it says little where `ess` is near 1
    ess: float  # 1 … B


def log_mean(log_weights: Tensor) -> LogMean:
    """Return log (1/B) Σ exp(log w), B ≥ 2: below the log of the expected weight, on average (Jensen).

    Raises:
        Unmeasurable: a weight that is not finite.
    """
    if not log_weights.isfinite().all():
        n = int((~log_weights.isfinite()).sum())
        raise Unmeasurable(f"{n} of {len(log_weights)} annealed chains have a weight that is not finite")

    def value(rows: Tensor) -> float:
        return float(rows.logsumexp(0)) - math.log(len(rows))

    ess = 1 / float(log_weights.softmax(0).square().sum())
    return LogMean(value(log_weights), jackknife(value, log_weights, min(20, len(log_weights))), ess)
