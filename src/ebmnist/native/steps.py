"""The numbers of a chain's steps, as Python makes them and as the C++ reads them."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.native.buffers import floats


class StepNumbers(NamedTuple):
    """What evaluations of g = clip(∇E(x)) are followed by: x ← clamp(x − drift·g + lead·(k − m) + sigma·ξ), m ← k.

    k = x − keep·g, and m is the k of the evaluation before. Each is (evaluations, B), or (evaluations, 1) for all
    chains alike. All evaluations of one step have the same ξ ~ N(0, 1).
    """

    drift: Tensor
    """What the gradient is multiplied by: ε²/2 in Langevin's step."""
    sigma: Tensor
    """The noise's standard deviation, ≥ 0."""
    clamp_margin: Tensor
    """How far beyond the clamp it may lead, ≥ 0; infinite for no clamp."""
    lead: Tensor | None = None
    """Given with `keep`, where images are remembered."""
    keep: Tensor | None = None
    """Given with `lead`."""

    def every(self, n: int, n_chains: int, *, first: bool) -> "StepNumbers":
        """Return the same with one number an evaluation and chain, (n, n_chains), float32.

        With `first` there is no evaluation before, and so no m: the first lead is 0.

        Raises:
            BadInput: one of another shape, or one of `lead` and `keep` without the other.
        """
        if (self.lead is None) != (self.keep is None):
            raise BadInput("lead and keep: give both or neither")
        given = {name: t for name, t in self._asdict().items() if t is not None}
        every = StepNumbers(**{name: _every(name, t, n, n_chains) for name, t in given.items()})
        if not first or every.lead is None:
            return every
        return every._replace(lead=torch.cat([torch.zeros_like(every.lead[:1]), every.lead[1:]]))


def _every(name: str, t: Tensor, n: int, n_chains: int) -> Tensor:
    if t.dim() != 2 or len(t) != n or t.shape[1] not in (1, n_chains):
        raise BadInput(f"{name} must be ({n}, {n_chains}) or ({n}, 1), not {tuple(t.shape)}")
    return floats(name, t.float().expand(n, n_chains), (n, n_chains))
