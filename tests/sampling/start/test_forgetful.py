"""The two starts without a memory, and the noise that chains begin in."""

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.sampling import FromData, FromNoise, uniform_noise
from targets import assert_moments

BATCH = torch.full((3, 2, 2), 7.0)


def test_uniform_noise_is_uniform_on_the_unit_interval(rng):
    x = uniform_noise(50_000, (1,), rng)
    assert x.dtype == torch.float32
    assert x.min() >= 0
    assert x.max() < 1
    assert_moments(x, 1 / 2, 1 / 12)
    assert_moments(x.square(), 1 / 3, 4 / 45)


def test_data_chains_begin_at_the_data(rng):
    before = rng.get_state()
    draw = FromData().draw(BATCH, rng)
    assert torch.equal(draw.x, BATCH)
    assert draw.slots is None
    assert torch.equal(rng.get_state(), before)


def test_noise_chains_begin_in_noise(rng):
    draw = FromNoise().draw(BATCH, rng)
    assert draw.x.shape == BATCH.shape
    assert draw.x.max() < 1
    assert draw.x.unique().numel() == BATCH.numel()
    assert not torch.equal(FromNoise().draw(BATCH, rng).x, draw.x)


@pytest.mark.parametrize("start", [FromData(), FromNoise()])
def test_a_state_they_cannot_hold_is_refused(start):
    with pytest.raises(BadInput, match="remembers nothing, but the saved one has images, age"):
        start.restore({"images": BATCH, "age": BATCH})
