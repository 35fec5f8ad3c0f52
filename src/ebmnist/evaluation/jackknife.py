"""The delete-a-group jackknife: a standard error for any figure, with no second run."""

from collections.abc import Callable

import torch
from torch import Tensor


def jackknife(statistic: Callable[[Tensor], float], rows: Tensor, n_groups: int = 20) -> float:
    """Return √((G−1)/G · Σ_g (θ_(g) − θ̄)²), θ_(g) the statistic of all rows but group g's (Kott 2001).

    Rows must be exchangeable and at least `n_groups`. Unlike the bootstrap it repeats no row, which a Fréchet
    distance would take for lost diversity.
    """
    group = torch.arange(len(rows), device=rows.device) % n_groups
    values = torch.tensor([statistic(rows[group != g]) for g in range(n_groups)], dtype=torch.float64)
    return float(((n_groups - 1) * values.var(unbiased=False)).sqrt())
