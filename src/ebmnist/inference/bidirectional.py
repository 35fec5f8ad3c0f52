"""Bidirectional Monte Carlo: log Z between annealing up to the target and annealing back from it.

Sources: Grosse, Ghahramani and Adams 2015 (the sandwich); Burda, Grosse and Salakhutdinov 2015 (RAISE).
"""

import math
from typing import NamedTuple

from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.inference.annealing import Bridge, LogMean, anneal, log_mean
from ebmnist.inference.probit import ProbitBase
from ebmnist.random import AnyRng

POWER = 3  # t_k = (k/K)³: the target is much sharper than the base, so the first passages are the hard ones


class Bracket(NamedTuple):
    """log Z of the target, from below and from above, in nats."""

    lower: LogMean  # AIS: P(lower > log Z + b) < e⁻ᵇ
    upper: LogMean  # reverse AIS: the mirror image, as far as its starts are samples of the target
    acceptance: float  # of MALA, over both runs
    forward: Tensor  # (B, D), where AIS ended, in the chains' coordinates
    starts: Tensor  # (B, D), where reverse AIS began

    @property
    def error(self) -> float:
        """One standard error of the width."""
        return math.hypot(self.lower.error, self.upper.error)

    @property
    def width(self) -> float:
        """Upper − lower; below 0 where the ends cross, which samples of the target would not do."""
        return self.upper.value - self.lower.value


def bracket_log_z(
    base: ProbitBase, target: Energy, x: Tensor, *, n_rungs: int, n_steps: int, n_burn: int, rng: AnyRng
) -> Bracket:
    """Bracket the log normaliser of exp(−target), both in the base's coordinates v.

    A pilot sets the step sizes; AIS then starts from exact draws of the base, reverse AIS from x, (B, D), after
    `n_burn` steps at the target. Cost: 2.25 n_rungs (n_steps + 1) + n_burn gradients of B samples.
    """
    pilot = _rungs(base, target, max(n_rungs // 4, 2))
    sizes = anneal(pilot, base.draw(len(x), rng), n_steps=n_steps, rng=rng).step_sizes
    rungs = _rungs(base, target, n_rungs)
    # The step size of rung k, t_k = (k/K)³, is the pilot's at the same t.
    up = [sizes[(k - 1) * len(sizes) // n_rungs] for k in range(1, n_rungs + 1)]
    forward = anneal(rungs, base.draw(len(x), rng), n_steps=n_steps, rng=rng, step_sizes=up)
    # The target's own steps first: a passage from the target to itself.
    burnt = anneal([target, target], x, n_steps=n_burn, rng=rng, step_sizes=up[-1:]).x if n_burn else x
    # Back through rungs K − 1 … 0; the base takes the first rung's step.
    down = [*up[-2::-1], up[0]]
    backward = anneal(rungs[::-1], burnt, n_steps=n_steps, rng=rng, step_sizes=down)
    back = log_mean(backward.log_weights)
    return Bracket(
        log_mean(forward.log_weights),
        back._replace(value=-back.value),
        (forward.acceptance + backward.acceptance) / 2,
        forward.x,
        burnt,
    )


def _rungs(base: Energy, target: Energy, n: int) -> list[Bridge]:
    return [Bridge(base, target, (k / n) ** POWER) for k in range(n + 1)]
