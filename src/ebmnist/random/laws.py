"""From random words to numbers of a law: uniform on [0, 1), standard normal (Box & Muller 1958), or the words alone.

Each function writes the four values of every block to `out`, (..., 4). Values have 24 random bits in any dtype, so that
they are the same in float32 and float64 within rounding; |normal| is at most √(48 ln 2) = 5.77.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ebmnist.random.philox import Words

Law = Callable[[Words, Tensor], None]

UNIT = 2.0**-24


def words(block: Words, out: Tensor) -> None:
    """Write the words, whole numbers in [0, 2³²)."""
    torch.stack(block, dim=-1, out=out)


def uniform(block: Words, out: Tensor) -> None:
    """Write (w >> 8) · 2⁻²⁴."""
    for i, word in enumerate(block):
        torch.mul(word.bitwise_right_shift_(8).to(out.dtype), UNIT, out=out[..., i])


def normal(block: Words, out: Tensor) -> None:
    """Write r cos φ and r sin φ of each pair of words, r = √(−2 ln u), u in (0, 1], φ in [0, 2π)."""
    for i in (0, 2):
        radius = block[i].bitwise_right_shift_(8).add_(1).to(out.dtype).mul_(UNIT).log_().mul_(-2).sqrt_()
        angle = block[i + 1].bitwise_right_shift_(8).to(out.dtype).mul_(2 * math.pi * UNIT)
        torch.mul(radius, angle.cos(), out=out[..., i])
        torch.mul(radius, angle.sin_(), out=out[..., i + 1])
