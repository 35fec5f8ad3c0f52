"""An update whose chains and gradients are divided over ranks. What is left of it, each rank does on the same numbers.

Every rank holds the whole state. It moves its share of the chains, and differentiates its share of the energies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ebmnist.energies.freezing import unmoved
from ebmnist.errors import BadInput
from ebmnist.random import Stream
from ebmnist.ranks import Ranks, in_memory_order
from ebmnist.sampling.base import Draw, Kernel
from ebmnist.sampling.chain import run_chain

# Images whose weight gradients are summed in float32, on a CPU, to be one summand of the fixed sum. The C++ takes
# longer for smaller parts (docs/how-to/scale.md).
PART = 64


class Moved(NamedTuple):
    """Where chains ended, and what their last step saw."""

    x: Tensor  # (B, *shape)
    grad_norm: Tensor  # (B,), ‖∂E/∂x‖₂ before clipping
    share_clipped: Tensor  # (B,), share of the gradient's components that were clipped


def move(
    ranks: Ranks, energy: nn.Module, kernel: Kernel, draw: Draw, n_steps: int, *, rng: Stream, first_step: int
) -> Moved:
    """Move the chains of `draw` as `run_chain` does, each rank its share of them. Raises: RankLost."""
    n, mine = len(draw.x), ranks.share(len(draw.x))
    slots = torch.arange(n, device=draw.x.device) if draw.slots is None else draw.slots
    begun = None if draw.step_index is None else draw.step_index[mine]
    chain = run_chain(
        energy, kernel, draw.x[mine], n_steps, rng=rng, chains=slots[mine], first_step=first_step, step_index=begun
    )
    assert chain.last is not None
    seen = Moved(chain.x, chain.last.grad_norm, chain.last.share_clipped)
    if ranks.size == 1:
        return seen
    rows = torch.cat([seen.x.flatten(1), seen.grad_norm[:, None], seen.share_clipped[:, None]], 1)
    rows = ranks.gathered(rows, ranks.shares(n))
    # Laid out in memory as one process has them: the rounding of a mean depends on it.
    x, grad_norm, share_clipped = (t.contiguous() for t in (rows[:, :-2], rows[:, -2], rows[:, -1]))
    return Moved(x.view(draw.x.shape), grad_norm, share_clipped)


class DividedEnergy:
    """E(x) of a batch, each rank its share, for an objective to make a loss of; then the loss's weight gradient.

    Energies are those that one process would compute, and so is the loss. Its weight gradient is Σ ∂L/∂Eᵢ · ∂Eᵢ/∂θ. It
    is summed within parts of `PART` images, and parts by `Ranks.fixed_sum`: on a CPU all ranks have the same bits,
    whatever their number. On a GPU, where small parts are slow, a rank's share is one part.

    Args:
        energy: the module to train.
        ranks: among which the batch is divided.
    """

    def __init__(self, energy: nn.Module, ranks: Ranks) -> None:
        self._energy = energy
        self._ranks = ranks
        self._calls: list[tuple[list[Tensor], Tensor, slice]] = []  # own parts' energies; all energies; which are own

    def __call__(self, x: Tensor) -> Tensor:
        """Return E(x), (B,), whose gradient `backward` sends on to the weights.

        Raises:
            BadInput: more ranks than parts, or an objective that differentiates in x.
            RankLost: another rank has ended.
        """
        if x.requires_grad:
            raise BadInput("this objective differentiates the energy in x, which ranks do not divide: train in one")
        parts = torch.split(x, PART if x.device.type == "cpu" else -(-len(x) // self._ranks.size))
        _check_parts(self._ranks, len(parts))
        with unmoved(self._energy):
            own = [self._energy(part) for part in parts[self._ranks.share(len(parts))]]
        counts = [sum(map(len, parts[self._ranks.share(len(parts), rank)])) for rank in range(self._ranks.size)]
        values = self._ranks.gathered(torch.cat(own).detach(), counts).requires_grad_()
        first = sum(counts[: self._ranks.rank])
        self._calls.append((own, values, slice(first, first + counts[self._ranks.rank])))
        return values

    def backward(self, loss: Tensor) -> None:
        """Leave ∂L/∂θ in the weights' `grad`, the same on every rank.

        Raises:
            RankLost: another rank has ended.
            BadInput: the ranks' weights are no longer the same.
        """
        loss.backward()  # type: ignore[no-untyped-call]
        weights = [p for p in self._energy.parameters() if p.requires_grad]
        parts = []
        for own, values, mine in self._calls:
            if values.grad is not None:
                slopes = torch.split(values.grad[mine], [len(part) for part in own])
                parts += [_weight_grad(e, weights, slope) for e, slope in zip(own, slopes, strict=True)]
        total = self._ranks.fixed_sum(parts, self._energy.parameters())
        for p, flat in zip(weights, torch.split(total, [p.numel() for p in weights]), strict=True):
            grad = torch.empty_like(p)  # in the memory format of p, as autograd leaves it
            ordered = in_memory_order(grad)
            ordered.copy_(flat.view(ordered.shape))
            p.grad = grad if p.grad is None else p.grad + grad  # of what the loss asks of the weights themselves


def check_ranks(ranks: Ranks, batch_size: int) -> None:
    """Check that each rank will have images to differentiate. Raises: BadInput."""
    _check_parts(ranks, -(-2 * batch_size // PART))


def _check_parts(ranks: Ranks, n_parts: int) -> None:
    if n_parts < ranks.size:
        raise BadInput(
            f"{ranks.size} ranks: an update has {n_parts} parts of {PART} images, data and chains together; start at "
            f"most {n_parts} ranks, or set training.batch_size to at least {ranks.size * PART // 2}"
        )


def _weight_grad(energies: Tensor, weights: Sequence[Tensor], slopes: Tensor) -> Tensor:
    """Σ slopesᵢ · ∂Eᵢ/∂θ, one vector, (n,), each weight's part in the order of its memory."""
    grads = torch.autograd.grad(energies, weights, slopes, retain_graph=True, allow_unused=True, materialize_grads=True)
    alike = (
        g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for g, p in zip(grads, weights, strict=True)
    )
    return torch.cat([in_memory_order(g).reshape(-1) for g in alike])
