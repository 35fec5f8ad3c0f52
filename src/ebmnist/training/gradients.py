"""The weight gradient of an update: added up piece by piece, then over ranks."""

import torch
from torch import Tensor, nn

from ebmnist.ranks import Ranks
from ebmnist.training.fixed_sum import fixed_sum, in_memory_order


class WeightGradient:
    """∂L/∂θ as a sum over pieces of a batch.

    With ranks on a CPU each piece is a summand of `fixed_sum`, and one vector is kept for each. Otherwise a rank adds
    its pieces as they come.

    Args:
        energy: whose weights θ are, n numbers.
        ranks: among which pieces are divided.
        compressed: whether ranks send each other half the bytes.
    """

    def __init__(self, energy: nn.Module, ranks: Ranks, *, compressed: bool = False) -> None:
        self._energy = energy
        self._ranks = ranks
        self._compressed = compressed
        self._weights = [p for p in energy.parameters() if p.requires_grad]
        self._summands: list[Tensor] = []

    def add(self, values: Tensor, slopes: Tensor) -> None:
        """Add Σ slopesᵢ · ∂valuesᵢ/∂θ; both have any one shape."""
        grads = torch.autograd.grad(
            values, self._weights, slopes, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        pairs = zip(grads, self._weights, strict=True)
        alike = (g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for g, p in pairs)
        # One vector, each weight's part in the order of its memory.
        grad = torch.cat([in_memory_order(g).reshape(-1) for g in alike])
        if self._summands and not fixed(self._ranks, grad.device):
            self._summands[0] += grad
        else:
            self._summands.append(grad)

    def leave(self, n_summands: int) -> None:
        """Leave the sum of all ranks in the weights' `grad`, beside what is there.

        Args:
            n_summands: how many pieces all ranks have added.

        Raises:
            BadInput: the ranks' weights are no longer the same.
            RankLost: another rank has ended.
        """
        numbers = [p.numel() for p in self._weights]
        summands = self._summands or [torch.cat([torch.zeros_like(p).reshape(-1) for p in self._weights])]
        if self._ranks.joined:
            n = n_summands if fixed(self._ranks, summands[0].device) else self._ranks.size
            sizes = [size for size in numbers if size] if self._compressed else None
            total = fixed_sum(self._ranks, summands, n, self._energy.parameters(), sizes=sizes)
        else:
            (total,) = summands
        for p, flat in zip(self._weights, torch.split(total, numbers), strict=True):
            grad = torch.empty_like(p)  # in the memory format of p, as autograd leaves it
            ordered = in_memory_order(grad)
            ordered.copy_(flat.view(ordered.shape))
            p.grad = grad if p.grad is None else p.grad + grad  # of what the loss asks of the weights themselves


def fixed(ranks: Ranks, device: torch.device) -> bool:
    """Whether the sum has the same bits on any number of ranks: on a CPU, under `torchrun`."""
    return ranks.joined and device.type == "cpu"
