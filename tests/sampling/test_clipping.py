"""Clipping: element by element, then by norm, each against a loop in plain Python."""

import math

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.sampling.clipping import check_bounds, clip_grad


def test_none_changes_nothing(rng):
    grad = torch.randn(5, 1, 4, 4, generator=rng)
    assert clip_grad(grad, None, None) is grad


def test_elements_are_bounded_and_keep_their_sign(rng):
    grad = torch.randn(5, 1, 4, 4, generator=rng)
    expected = [max(-0.3, min(0.3, g)) for g in grad.flatten().tolist()]
    assert clip_grad(grad, 0.3, None).flatten().tolist() == pytest.approx(expected)


def test_norms_are_bounded_and_directions_kept():
    grad = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    clipped = clip_grad(grad, None, 1.0)
    assert clipped[0].tolist() == pytest.approx([0.6, 0.8])
    assert torch.equal(clipped[1:], grad[1:])  # inside the bound: untouched, to the bit


def test_norm_is_per_sample_over_all_its_axes():
    grad = torch.ones(2, 1, 3, 3)
    clipped = clip_grad(grad, None, 1.5)
    assert clipped.flatten(1).norm(dim=1).tolist() == pytest.approx([1.5, 1.5])


def test_elements_come_before_the_norm():
    grad = torch.tensor([[10.0, 1.0]])
    assert clip_grad(grad, 1.0, 1.0)[0].tolist() == pytest.approx([math.sqrt(0.5)] * 2)


@pytest.mark.parametrize(("clip", "clip_norm"), [(0.1, None), (None, 0.1), (0.1, 0.1)])
def test_nan_is_not_made_into_a_number(clip, clip_norm):
    assert clip_grad(torch.tensor([[math.nan]]), clip, clip_norm).isnan().all()


@pytest.mark.parametrize(
    ("bounds", "named"),
    [
        ((0.0, None, None), "clip must"),
        ((math.nan, None, None), "clip must"),
        ((None, -1.0, None), "clip_norm must"),
        ((None, None, (1.0, 1.0)), "clamp must"),
        ((None, None, (math.nan, 1.0)), "clamp must"),
    ],
)
def test_bad_bounds_are_named(bounds, named):
    with pytest.raises(BadInput, match=f"kernel: {named}"):
        check_bounds("kernel", *bounds)
