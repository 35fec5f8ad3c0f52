"""Noise that chains begin in."""

import pytest
import torch

from ebmnist.sampling.start.noise import coarse_noise, corrupted


def side(image):
    """The largest power of two such that the squares of that side, from the upper left corner, are of one grey."""
    whole = next(k for k in range(9) if 2**k >= max(image.shape))
    return max(
        2**k
        for k in range(whole + 1)
        if all((block == block[0, 0]).all() for row in image.split(2**k) for block in row.split(2**k, dim=1))
    )


def test_squares_of_every_side_are_as_likely(rng):
    x = coarse_noise(800, (1, 28, 28), rng)
    assert x.shape == (800, 1, 28, 28)
    assert x.dtype == torch.float32
    sides = torch.tensor([side(image[0]) for image in x])
    for one in (1, 2, 4, 8, 16, 32):
        assert (sides == one).float().mean().item() == pytest.approx(1 / 6, abs=4.5 * (5 / 36 / 800) ** 0.5)


def test_greys_are_uniform_up_to_a_uniform_brightness(rng):
    """bu, b and u uniform: mean 1/4, second moment 1/9; pixels of one image share b."""
    x = coarse_noise(40_000, (4, 4), rng)
    assert x.min() >= 0
    assert 0.9 < x.max() < 1
    assert x.mean().item() == pytest.approx(1 / 4, abs=0.005)
    assert (x**2).mean().item() == pytest.approx(1 / 9, abs=0.005)
    first, second = x[:, 0, 0], x[:, 3, 3]
    other = first != second  # of two squares: E[b²]E[u]² = 1/12
    assert (first * second)[other].mean().item() == pytest.approx(1 / 12, abs=0.005)


@pytest.mark.parametrize("shape", [(), (2,), (3, 5), (2, 3, 5)])
def test_points_rows_and_channels_have_it_too(shape, rng):
    assert coarse_noise(6, shape, rng).shape == (6, *shape)


def test_channels_have_greys_of_their_own(rng):
    x = coarse_noise(50, (2, 4, 4), rng)
    assert (x[:, 0] != x[:, 1]).all()


def test_a_veil_is_one_share_for_all_pixels_of_an_image(rng):
    """x + s(c − x), s uniform: of noise alike but for x, a difference is 1 − s."""
    x = torch.zeros(20_000, 1, 2, 2)
    x[:, 0, 0, 1] = 5
    y = corrupted(x, rng).squeeze(1)
    assert y[:, 0, 1].mean().item() == pytest.approx(5 / 2 + 1 / 8, abs=0.05)
    assert y[:, 1, 1].mean().item() == pytest.approx(1 / 8, abs=0.005)
    plain = y[:, 0, 0] == y[:, 1, 0]  # of one grey
    remains = (y[plain, 0, 1] - y[plain, 0, 0]) / 5
    assert plain.float().mean().item() == pytest.approx(1 / 2, abs=0.02)
    assert remains.mean().item() == pytest.approx(1 / 2, abs=0.015)
    assert remains.var().item() == pytest.approx(1 / 12, abs=0.005)
