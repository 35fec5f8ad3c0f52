"""Philox4x32-10 and its normals in C++: a function of (seed, stream, chain, step, draw, index of the value)."""

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.native.buffers import address, check_range, given
from ebmnist.native.build import library

WORD = 2**32


def normals(seed: int, stream: int, chains: Tensor, step: int, n_values: int, draw: int = 0) -> Tensor:
    """Return standard normal numbers, (B, n_values), float32 on the CPU; `library()` must have something.

    Row i is a function of (seed, stream, chains[i], step, draw) and of nothing else (Salmon et al. 2011; Box & Muller
    1958).

    Args:
        seed: 0 … 2⁶³ − 1, the key.
        stream: 0 … 2³² − 1: purpose and call.
        chains: (B,), int64, 0 … 2³² − 1.
        step: 0 … 2³² − 1.
        n_values: 1 … 2³⁰.
        draw: 0 … 15, of several in one step.

    Raises:
        BadInput: a number out of its range.
    """
    check_stream(seed, stream, step)
    check_range("draw", draw, 16)
    check_range("n_values", n_values, 2**30 + 1)
    chains = checked_chains(chains)
    out = torch.empty(len(chains), n_values, dtype=torch.float32, device="cpu")
    if out.numel():
        given(library()).normals(
            seed, stream, step, draw, address(chains), len(chains), n_values, address(out), torch.get_num_threads()
        )
    return out


def words(seed: int, stream: int, rows: Tensor, steps: Tensor, n_blocks: int, draw: int = 0) -> Tensor:
    """Return random words, (4, R, n_blocks), int64 in [0, 2³²) on the CPU; `library()` must have something.

    Word i of block b of a row is a function of (seed, stream, row, step, draw, b), as `random.streams` has it.

    Args:
        seed: 0 … 2⁶³ − 1, the key.
        stream: 0 … 2³² − 1: purpose and call.
        rows: (R,), int64, 0 … 2³² − 1, R ≥ 1.
        steps: of each row, (R,), as rows.
        n_blocks: of four words each, 1 … 2²⁸ − 1.
        draw: 0 … 15, of several in one step.

    Raises:
        BadInput: a row or step out of its range.
    """
    rows, steps = _in_words("rows", rows), _in_words("steps", steps)
    out = torch.empty(4, len(rows), n_blocks, dtype=torch.int64, device="cpu")
    given(library()).words(
        seed, stream, draw, address(rows), address(steps), len(rows), n_blocks, address(out), torch.get_num_threads()
    )
    return out


def philox(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Return Philox4x32-10's words, (n, 4), of counters, (n, 4), under a key of two words; words are int64 in [0, 2³²).

    Raises:
        BadInput: a word out of its range.
    """
    for word in key:
        check_range("key", word, WORD)
    if counter.dim() != 2 or counter.shape[1] != 4:
        raise BadInput(f"counter must be (n, 4), not {tuple(counter.shape)}")
    words = _in_words("counter", counter)
    narrow = words.to(torch.int32)  # wraps: the same 32 bits
    out = torch.empty_like(narrow)
    if len(words):
        given(library()).philox(address(narrow), len(words), key[0] | key[1] << 32, address(out))
    return out.to(torch.int64) & (WORD - 1)


def check_stream(seed: int, stream: int, step: int) -> None:
    """Raises `BadInput` for a number out of its range."""
    check_range("seed", seed, 2**63)
    check_range("stream", stream, WORD)
    check_range("step", step, WORD)


def checked_chains(chains: Tensor) -> Tensor:
    """Return (B,) int64 in one piece. Raises `BadInput` for anything else."""
    if chains.dim() != 1:
        raise BadInput(f"chains must be (B,), not {tuple(chains.shape)}")
    return _in_words("chains", chains)


def _in_words(name: str, t: Tensor) -> Tensor:
    if t.dtype != torch.int64 or t.device.type != "cpu":
        raise BadInput(f"{name} must be int64 on the CPU, not {t.dtype} on {t.device}")
    if t.numel() and not all(0 <= end < WORD for end in map(int, torch.aminmax(t))):
        raise BadInput(f"{name} must be from 0 to 2^32 - 1")
    return t.detach().contiguous()
