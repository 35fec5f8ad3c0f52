"""Philox4x32-10 against its authors' known answers (Random123, kat_vectors), and its one law: no output twice."""

import pytest
import torch

from ebmnist.random import philox

ONES = 0xFFFFFFFF
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    words = philox(tuple(torch.tensor([word]) for word in counter), key[0] | key[1] << 32)
    assert tuple(int(word) for word in words) == expected


def test_counters_broadcast_and_stay_as_they_were():
    blocks, rows, word = torch.arange(5), torch.arange(3)[:, None], torch.tensor(7)
    together = torch.stack(philox((blocks, word, rows, word), 1))
    assert together.shape == (4, 3, 5)
    assert torch.equal(blocks, torch.arange(5))
    alone = torch.stack(philox((blocks[2], word, rows[1, 0], word), 1))
    assert torch.equal(together[:, 1, 2], alone)


def test_each_word_of_counter_and_key_tells():
    zero = torch.zeros(1, dtype=torch.int64)
    one = torch.ones(1, dtype=torch.int64)
    counters = [tuple(one if i == j else zero for i in range(4)) for j in range(5)]
    seen = {tuple(int(w) for w in philox(counter, key)) for counter in counters for key in (0, 1, 1 << 32)}
    assert len(seen) == 15


def test_words_are_32_bits_and_none_comes_twice():
    words = torch.stack(philox((torch.arange(200_000), *[torch.zeros(1, dtype=torch.int64)] * 3), 5))
    assert words.min() >= 0
    assert words.max() <= ONES
    assert len((words[0] << 31 | words[1] >> 1).unique()) == 200_000
