"""The delete-a-group jackknife: a standard error for any metric, with no second run (Kott 2001)."""

from collections.abc import Callable

import torch
from torch import Tensor

N_GROUPS = 20


def jackknife(statistic: Callable[[Tensor], float], rows: Tensor, n_groups: int = N_GROUPS) -> float:
    """Return the error of `statistic`, which is taken of all rows but one group's, group after group.

    Rows must be exchangeable and at least `n_groups`. Unlike the bootstrap it repeats no row, which a Fréchet
    distance would take for lost diversity.
    """
    group = torch.arange(len(rows), device=rows.device) % n_groups
    return group_error(torch.tensor([statistic(rows[group != g]) for g in range(n_groups)], dtype=torch.float64))


def group_error(values: Tensor) -> float:
    """Return √((G−1)/G · Σ_g (θ_(g) − θ̄)²) from θ_(g), (G,), each without the rows g, g + G, g + 2G, …"""
    return float(((len(values) - 1) * values.var(unbiased=False)).sqrt())
