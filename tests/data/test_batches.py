import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ebmnist.data.batches import Batches, epoch_order
from ebmnist.errors import BadInput
from ebmnist.random import Purpose, Stream


def stream(seed: int) -> Stream:
    return Stream(seed, Purpose.BATCHES)


@given(n=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 10**6))
@settings(deadline=None)
def test_an_epoch_shows_no_image_twice_and_drops_fewer_than_a_batch(n, size, seed, epoch):
    size = min(size, n)
    batches = Batches(torch.arange(n), size, stream(seed))
    start = epoch * batches.per_epoch
    seen = torch.cat([batches.at(start + i) for i in range(batches.per_epoch)]).tolist()
    assert len(seen) == len(set(seen)) == n - n % size


def test_a_batch_depends_on_nothing_but_seed_and_step():
    images = torch.rand(50, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    batches = Batches(images, 8, stream(3))
    in_order = [batches.at(step) for step in range(20)]
    assert in_order[0].shape == (8, 1, 28, 28)
    for step in (19, 0, 7, 6, 12):
        torch.manual_seed(step)  # the global stream plays no part
        assert torch.equal(Batches(images, 8, stream(3)).at(step), in_order[step])


def test_batches_of_bytes_are_images():
    pixels = torch.arange(256, dtype=torch.uint8).view(64, 1, 2, 2)
    of_bytes, of_floats = (Batches(x, 8, stream(3)).at(5) for x in (pixels, pixels / 255))
    assert of_bytes.dtype == torch.float32
    assert torch.equal(of_bytes, of_floats)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(epoch_order(100, stream(seed), epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_every_image_is_as_likely_in_the_first_batch():
    n, size, n_epochs = 20, 5, 2000
    batches = Batches(torch.arange(n), size, stream(1))
    first = torch.cat([batches.at(epoch * batches.per_epoch) for epoch in range(n_epochs)])
    share = first.bincount(minlength=n) / n_epochs
    standard_error = (size / n * (1 - size / n) / n_epochs) ** 0.5
    assert (share - size / n).abs().max() < 4 * standard_error


def test_any_sample_shape_will_do():
    points = torch.arange(12.0).view(6, 2)
    assert Batches(points, 6, stream(0)).at(0).sort(0).values.equal(points)


@pytest.mark.parametrize(
    ("size", "said"), [(0, "batch_size = 0: expected 1 to 6"), (7, "batch_size = 7: expected 1 to 6")]
)
def test_impossible_batches_are_refused(size, said):
    with pytest.raises(BadInput, match=said):
        Batches(torch.arange(6), size, stream(0))
