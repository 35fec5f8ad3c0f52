"""Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (2011), in PyTorch on any device."""

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

MASK = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85  # what the two words of the key grow by in each round
N_ROUNDS = 10


def philox(counter: Words, key: int) -> Words:
    """Return four random words for each counter; for one key a bijection, so that no two counters share an output.

    Args:
        counter: four int64 tensors that broadcast together, each of words in [0, 2³²).
        key: two words, low + high · 2³², in [0, 2⁶⁴).

    Returns:
        Four int64 tensors of words in [0, 2³²), of the shape that the counter broadcasts to.
    """
    c0, c1, c2, c3 = (word.clone(memory_format=torch.contiguous_format) for word in torch.broadcast_tensors(*counter))  # type: ignore[no-untyped-call]
    low, high = torch.empty_like(c0), torch.empty_like(c0)
    k0, k1 = key & MASK, key >> 32
    for _ in range(N_ROUNDS):
        # Products wrap modulo 2⁶⁴. Upper words go on at once; lower ones are cut to 32 bits where they are used.
        torch.mul(c0, MULTIPLIERS[0], out=low)
        torch.mul(c2, MULTIPLIERS[1], out=high)
        torch.bitwise_right_shift(high, 32, out=c0).bitwise_xor_(c1).bitwise_xor_(k0).bitwise_and_(MASK)
        torch.bitwise_right_shift(low, 32, out=c2).bitwise_xor_(c3).bitwise_xor_(k1).bitwise_and_(MASK)
        c1, high, c3, low = high, c1, low, c3
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1.bitwise_and_(MASK), c2, c3.bitwise_and_(MASK)
