"""Sums over ranks that have the same bits in any order and grouping."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.ranks import Ranks


def fixed_sum(
    ranks: Ranks,
    parts: Sequence[Tensor],
    n_parts: int,
    weights: Iterable[Tensor] = (),
    *,
    sizes: list[int] | None = None,
) -> Tensor:
    """Return the sum of all ranks' parts, (n,) each: the same bits, whichever rank holds which part.

    Parts are rounded to whole multiples of one power of two, and whole numbers add without rounding. So order and
    grouping do not matter (as the forces of Le Grand, Götz & Walker 2013). Double precision has 53 bits. Each part
    keeps as many of the largest component's as their number leaves: 51 where there are four. A component that is not
    finite makes the whole sum NaN.

    Args:
        ranks: every one of them calls this.
        parts: this rank's, (n,) each; at least one.
        n_parts: how many all ranks have, 1 to 2²⁰.
        weights: which all ranks hold alike; checked in the exchange that the sum needs anyhow.
        sizes: of pieces of a part, ≥ 1 each, which add up to n. With them ranks exchange half the bytes. Each piece has
            a power of two of its own, and travels as int32: 28 bits where there are four parts.

    Raises:
        BadInput: weights of other bits than another rank's.
        RankLost: another rank has ended, or does not answer for a minute.
    """
    room, dtype, pieces = (53, torch.float64, [len(parts[0])]) if sizes is None else (30, torch.int32, sizes)
    bits = room - math.ceil(math.log2(n_parts))
    cut = list(zip(*(torch.split(part, pieces) for part in parts), strict=True))
    largest = torch.stack([torch.stack([part.abs().max() for part in piece]).max() for piece in cut])
    bounds = _bounds(ranks, largest.cpu().double(), weights)
    if not all(map(math.isfinite, bounds)):
        return torch.full_like(parts[0], math.nan)
    # At most what a double can be scaled by.
    scales = [math.ldexp(1, min(bits - math.frexp(bound)[1], 1000)) for bound in bounds]
    total = torch.zeros_like(parts[0], dtype=dtype)
    for added, piece, scale in zip(torch.split(total, pieces), cut, scales, strict=True):
        for part in piece:
            added += part.double().mul_(scale).round_().to(dtype)
    whole = ranks.summed(total).double()
    for added, scale in zip(torch.split(whole, pieces), scales, strict=True):
        added.div_(scale)
    return whole.to(parts[0].dtype)


def checksum(tensors: Iterable[Tensor]) -> int:
    """Return the sum of all bits, read as whole numbers of 32 of them: another bit gives another sum, in [0, 2⁶²)."""
    sums = [in_memory_order(t.detach()).flatten().view(torch.int32).sum(dtype=torch.int64) for t in tensors]
    return int(torch.stack(sums).sum()) % 2**62


def in_memory_order(t: Tensor) -> Tensor:
    """A tensor whose numbers lie channels-last, as a view that goes through them in turn; any other, itself."""
    last = t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)
    return t.permute(0, 2, 3, 1) if last else t


def _bounds(ranks: Ranks, largest: Tensor, weights: Iterable[Tensor]) -> list[float]:
    """The largest of all ranks' numbers, (n,), which are ≥ 0 or not finite; their weights are checked on the way."""
    largest = torch.where(largest.isfinite(), largest, math.inf)  # NaN has no place in an order
    if ranks.size > 1:
        own = checksum(weights)
        sent = torch.cat([largest.view(torch.int64), torch.tensor([own, -own], device="cpu")])  # in the same order
        *_, most, least = ranks.largest(sent).tolist()
        if most != -least:
            raise BadInput("the ranks' weights have come apart: use the same kind of processor for all of them")
        largest = sent[:-2].view(torch.float64)
    return largest.tolist()
