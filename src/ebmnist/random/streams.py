"""Streams of random numbers, each a function of (seed, purpose, call, row, step, draw, place): disjoint at every seed.

The address of four values is a counter of four words: c0 = block | draw · 2²⁸, c1 = step, c2 = row, c3 = purpose |
call · 2⁸. A row is a chain, a slot of the buffer or an image; block b has its values 4b … 4b + 3. The seed is the key.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.native import library
from ebmnist.native import words as native_words
from ebmnist.random.laws import Law, normal, uniform, words
from ebmnist.random.philox import Words, philox

N_SEEDS, N_CALLS, N_STEPS, N_DRAWS, N_BLOCKS = 2**63, 2**24, 2**32, 16, 2**28
# Blocks computed at once: on a processor few enough for its cache, elsewhere many enough to be worth a launch.
CHUNK, CHUNK_ELSEWHERE = 2**15, 2**20


class Purpose(IntEnum):
    """What random numbers are for. Two purposes never share one."""

    WEIGHTS = 0
    BUFFER = 1  # where chains start in training: slots, restarts, first images
    REPLACEMENT = 2  # of chains that the guard cleans away
    BATCHES = 3  # the order of each epoch
    DATA_NOISE = 4
    TRAINING_CHAINS = 5
    SAMPLING = 6  # what people draw
    PLOTS = 7
    CLASSIFIER = 8  # weights, batches and augmentation of the feature net
    DETECTOR = 9  # the noise that energies are averaged over
    EVALUATION = 128  # and on: one for each section, by its place in the registry


def check_seed(seed: object) -> int:
    """Return the seed. Raises: BadInput unless it is a whole number from 0 to 2⁶³ − 1."""
    if type(seed) is not int or not 0 <= seed < N_SEEDS:
        raise BadInput(f"seed must be a whole number from 0 to 2⁶³ − 1, not {seed!r}")
    return seed


@dataclass(frozen=True)
class Stream:
    """The random numbers of one purpose, and of one call for it.

    Args:
        seed: 0 … 2⁶³ − 1.
        purpose: below 256.
        call: below 2²⁴.

    Raises:
        BadInput: a seed out of its range.
        ValueError: a purpose or call out of its range.
    """

    seed: int
    purpose: int
    call: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 0 <= self.purpose < 256 or not 0 <= self.call < N_CALLS:
            raise ValueError(f"purpose must be below 256 and call below 2²⁴, not {self.purpose} and {self.call}")

    @property
    def word(self) -> int:
        """The counter's last word, purpose and call."""
        return int(self.purpose) | self.call << 8

    def normal(
        self,
        rows: Tensor,
        step: int | Tensor,
        shape: tuple[int, ...],
        *,
        draw: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Return standard normal numbers, (R, *shape), on the device of `rows`.

        Args:
            rows: (R,) int64 in [0, 2³²), one chain, slot or image each.
            step: below 2³²; of all rows, or of each, (R,).
            shape: of one row, of at most 2³⁰ values.
            draw: below 16, which of the draws inside the step.
            dtype: floating.
        """
        return self._numbers(normal, rows, step, shape, draw, dtype)

    def uniform(
        self,
        rows: Tensor,
        step: int | Tensor,
        shape: tuple[int, ...],
        *,
        draw: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Return numbers uniform on [0, 1), multiples of 2⁻²⁴, (R, *shape); arguments as for `normal`."""
        return self._numbers(uniform, rows, step, shape, draw, dtype)

    def integers(self, high: int, rows: Tensor, step: int | Tensor, shape: tuple[int, ...], *, draw: int = 0) -> Tensor:
        """Return whole numbers from 0 to high − 1, high ≤ 2³¹, (R, *shape) int64; their shares differ by ≤ high · 2⁻³².

        The other arguments are as for `normal`.
        """
        return (self._numbers(words, rows, step, shape, draw, torch.int64) * high) >> 32

    def permutation(self, n: int, step: int = 0, *, draw: int = 0, device: torch.device | str = "cpu") -> Tensor:
        """Return 0 … n − 1 in a random order, (n,) int64: the order of n keys of 63 random bits."""
        row = torch.zeros(1, dtype=torch.int64, device=device)
        high, low = self._numbers(words, row, step, (n, 2), draw, torch.int64)[0].unbind(1)
        return ((high << 31) | (low >> 1)).argsort(stable=True)

    def _numbers(
        self, law: Law, rows: Tensor, step: int | Tensor, shape: tuple[int, ...], draw: int, dtype: torch.dtype
    ) -> Tensor:
        n_values, device = math.prod(shape), rows.device
        n_blocks = -(-n_values // 4)
        if not 0 <= draw < N_DRAWS or n_blocks >= N_BLOCKS:
            raise ValueError(f"at most {N_DRAWS} draws in a step, and 2³⁰ values in a row: not draw {draw}, {shape}")
        if isinstance(step, int) and not 0 <= step < N_STEPS:
            raise ValueError(f"step must be below 2³², not {step}")
        # Half precision is rounded from float32.
        exact = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
        out = torch.empty(len(rows), n_blocks, 4, dtype=exact, device=device)
        steps = torch.full((1,), step, dtype=torch.int64, device=device) if isinstance(step, int) else step
        steps = steps.expand(len(rows))
        at_once = max(1, (CHUNK if device.type == "cpu" else CHUNK_ELSEWHERE) // max(1, n_blocks))
        for begin in range(0, len(rows) if n_blocks else 0, at_once):
            part = slice(begin, begin + at_once)
            law(self._words(rows[part], steps[part], n_blocks, draw), out[part])
        return out.flatten(1)[:, :n_values].to(dtype).reshape(len(rows), *shape)

    def _words(self, rows: Tensor, steps: Tensor, n_blocks: int, draw: int) -> Words:
        """The words of each row's blocks, (R, n_blocks) each: the same from the C++ and from PyTorch."""
        if rows.device.type == "cpu" and library() is not None:
            first, second, third, fourth = native_words(self.seed, self.word, rows, steps, n_blocks, draw)
            return first, second, third, fourth
        blocks = torch.arange(draw << 28, (draw << 28) + n_blocks, dtype=torch.int64, device=rows.device)
        word = torch.full((1,), self.word, dtype=torch.int64, device=rows.device)
        return philox((blocks, steps[:, None], rows[:, None], word), self.seed)
