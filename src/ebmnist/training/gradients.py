"""Weight gradients by parts, one vector for each, and their sum over parts and ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebmnist.ranks import Ranks
from ebmnist.training.fixed_sum import fixed_sum, in_memory_order


def weights_of(energy: nn.Module) -> list[nn.Parameter]:
    """Return the weights that are trained."""
    return [p for p in energy.parameters() if p.requires_grad]


def weight_grad(values: Tensor, weights: Sequence[Tensor], slopes: Tensor) -> Tensor:
    """Return Σ slopesᵢ · ∂valuesᵢ/∂θ, one vector, (n,), each weight's part in the order of its memory."""
    grads = torch.autograd.grad(values, weights, slopes, retain_graph=True, allow_unused=True, materialize_grads=True)
    alike = (
        g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for g, p in zip(grads, weights, strict=True)
    )
    return torch.cat([in_memory_order(g).reshape(-1) for g in alike])


def leave_grad(energy: nn.Module, ranks: Ranks, summands: Sequence[Tensor], *, compressed: bool) -> None:
    """Leave the sum of all ranks' summands, (n,) each, in the weights' `grad`, beside what is there.

    Args:
        energy: whose weights have n numbers.
        ranks: every one of them calls this.
        summands: this rank's.
        compressed: whether ranks send each other fewer bits.

    Raises:
        BadInput: the ranks' weights are no longer the same.
        RankLost: another rank has ended.
    """
    weights = weights_of(energy)
    numbers = [p.numel() for p in weights]
    total = fixed_sum(ranks, summands, energy.parameters(), sizes=numbers if compressed else None)
    for p, flat in zip(weights, torch.split(total, numbers), strict=True):
        grad = torch.empty_like(p)  # in the memory format of p, as autograd leaves it
        ordered = in_memory_order(grad)
        ordered.copy_(flat.view(ordered.shape))
        p.grad = grad if p.grad is None else p.grad + grad  # of what the loss asks of the weights themselves
