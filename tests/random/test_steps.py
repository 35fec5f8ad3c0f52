"""Chains' numbers: drawn ahead or not, for many chains or few, from any step on, the same."""

import pytest
import torch

from ebmnist.random import ChainRng, Purpose, StepRng, Stream, steps

STREAM = Stream(1, Purpose.SAMPLING, 4)


def test_each_use_inside_a_step_takes_the_next_draw():
    rng = StepRng(STREAM, 7, "cpu")
    rows = torch.arange(3)
    assert torch.equal(rng.normal((3, 5)), STREAM.normal(rows, 7, (5,), draw=0))
    assert torch.equal(rng.uniform((3,)), STREAM.uniform(rows, 7, (), draw=1))
    assert torch.equal(rng.permutation(6), STREAM.permutation(6, 7, draw=2))
    for _ in range(13):
        rng.integers(2, (1,))
    with pytest.raises(ValueError, match="at most 16 draws"):
        rng.normal((1,))


@pytest.mark.parametrize("ahead", [1, 7, 2**14])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chains_have_the_numbers_of_their_own(ahead, dtype, monkeypatch):
    monkeypatch.setattr(steps, "AHEAD", ahead)
    chains = torch.tensor([5, 0, 2**32 - 1])
    x = torch.zeros(3, 2, 3, dtype=dtype)
    for i, rng in enumerate(ChainRng(STREAM, chains, 6, first_step=10)):
        noise, u = rng.normal_like(x), rng.uniform_like(x[:, 0, 0])
        assert torch.equal(noise, STREAM.normal(chains, 10 + i, (2, 3), draw=0, dtype=dtype))
        assert torch.equal(u, STREAM.uniform(chains, 10 + i, (), draw=1, dtype=dtype))
        noise.zero_()  # a kernel may write to its numbers


def test_shapes_may_differ_between_steps():
    chains = torch.arange(4)
    first, second = ChainRng(STREAM, chains, 2)
    assert torch.equal(first.normal((4, 2)), STREAM.normal(chains, 0, (2,)))
    assert torch.equal(second.normal((4, 9)), STREAM.normal(chains, 1, (9,)))


def test_memory_ahead_is_bounded():
    rng = ChainRng(STREAM, torch.arange(1000), 10_000)
    next(iter(rng)).normal((1000, 40))
    ((_, ahead),) = rng._ahead.values()
    assert ahead.numel() <= 4 * steps.AHEAD
