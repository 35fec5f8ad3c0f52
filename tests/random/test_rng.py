"""The handle that is passed around: no number twice, and what people pass instead."""

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.random import Purpose, Rng, StepRng, Stream


def test_each_use_takes_the_next_call():
    rng = Rng(3, Purpose.PLOTS)
    first, second, stream = rng.normal((2, 5)), rng.uniform((2, 5)), rng.stream()
    rows = torch.arange(2)
    assert torch.equal(first, Stream(3, Purpose.PLOTS, 0).normal(rows, 0, (5,)))
    assert torch.equal(second, Stream(3, Purpose.PLOTS, 1).uniform(rows, 0, (5,)))
    assert stream == Stream(3, Purpose.PLOTS, 2)
    assert torch.equal(rng.integers(10, (2, 5)), Stream(3, Purpose.PLOTS, 3).integers(10, rows, 0, (5,)))
    assert torch.equal(rng.permutation(9), Stream(3, Purpose.PLOTS, 4).permutation(9))
    assert rng.seed == 3


def test_the_first_rows_are_the_same_however_many():
    assert torch.equal(Rng(0).normal((64, 3))[:8], Rng(0).normal((8, 3)))
    assert torch.equal(Rng(0).uniform((64,))[:8], Rng(0).uniform((8,)))


def test_an_rng_stays_itself():
    rng = Rng(0)
    assert Rng.of(rng) is rng


def test_a_generator_gives_a_seed_of_63_bits_and_another_the_next_time():
    generator = torch.Generator().manual_seed(0)
    seeds = [Rng.of(generator).seed for _ in range(200)]
    assert len(set(seeds)) == 200
    assert max(seeds) > 2**62
    assert Rng.of(torch.Generator().manual_seed(0)).seed == seeds[0]
    assert Rng.of(generator).device == generator.device


def test_no_global_generator_is_read():
    before = torch.get_rng_state()
    rng = Rng(0)
    rng.normal((3, 4)), rng.uniform((3,)), rng.permutation(5), rng.integers(3, (2,))
    Rng.of(torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "abc", True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(BadInput, match="seed must be a whole number"):
        Rng(seed)


def test_some_rows_of_a_source_are_those_of_all() -> None:
    rows = torch.tensor([5, 0, 3])
    for of_all, of_some in ((Rng(4), Rng(4)), (StepRng(Stream(4, 1), 7, "cpu"), StepRng(Stream(4, 1), 7, "cpu"))):
        some = of_some.rows(rows)
        for _ in range(2):
            assert torch.equal(some.uniform((3, 2, 5)), of_all.uniform((8, 2, 5))[rows])
            assert torch.equal(some.integers(9, (3, 1)), of_all.integers(9, (8, 1))[rows])
        assert torch.equal(of_some.rows(rows[:0]).normal((0, 4)), torch.empty(0, 4))
        assert torch.equal(some.normal((3, 4)), (of_all.normal((8, 4)), of_all.normal((8, 4)))[1][rows])
