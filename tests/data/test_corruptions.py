import pytest
import torch

from ebmnist.data import corruptions
from ebmnist.data.corruptions import CORRUPTIONS, add_noise
from ebmnist.data.images import check_images
from ebmnist.errors import BadInput


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images():
    return torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_pure_and_gives_as_many_images(name, images):
    before = images.clone()
    first, again = (CORRUPTIONS[name](images, torch.Generator().manual_seed(2)) for _ in range(2))
    assert check_images(first, name).shape == images.shape
    assert torch.equal(first, again)
    assert torch.equal(images, before)
    assert first.data_ptr() != images.data_ptr()
    assert not torch.equal(first, images)
    assert CORRUPTIONS[name].__name__ == name
    assert CORRUPTIONS[name].__doc__


@pytest.mark.parametrize("name", ["inverted", "hflip", "vflip"])
def test_these_undo_themselves(name, images, rng):
    twice = CORRUPTIONS[name](CORRUPTIONS[name](images, rng), rng)
    torch.testing.assert_close(twice, images, rtol=0, atol=1e-7)


def test_four_quarter_turns_are_none(images):
    turned = images
    for _ in range(4):
        turned = corruptions.rot90(turned)
    assert torch.equal(turned, images)


def test_flips_and_turns_go_where_they_say():
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 3, 5] = 1
    assert corruptions.hflip(image)[0, 0, 3, 22] == 1
    assert corruptions.vflip(image)[0, 0, 24, 5] == 1
    assert corruptions.rot90(image)[0, 0, 22, 3] == 1  # counter-clockwise: the top goes to the left


def test_the_noise_is_gaussian_and_unclamped(rng):
    noisy = add_noise(torch.full((100, 1, 28, 28), 1.0), 0.3, rng)
    residual, n = noisy - 1, noisy.numel()
    assert abs(residual.mean()) < 4 * 0.3 / n**0.5
    assert abs(residual.var() / 0.09 - 1) < 4 * (2 / n) ** 0.5
    assert noisy.max() > 1


def test_no_noise_is_the_image_itself(images, rng):
    assert torch.equal(add_noise(images, 0.0, rng), images)


def test_clamped_noise_is_the_same_noise(images):
    unclamped = add_noise(images, 0.1, torch.Generator().manual_seed(5))
    assert torch.equal(corruptions.noise(images, torch.Generator().manual_seed(5)), unclamped.clamp(0, 1))


def test_blur_keeps_constants_and_spreads_a_point_as_a_gaussian():
    grey = torch.full((2, 1, 28, 28), 0.3)
    torch.testing.assert_close(corruptions.blur(grey), grey)
    point = torch.zeros(1, 1, 28, 28)
    point[0, 0, 14, 14] = 1
    blurred = corruptions.blur(point)[0, 0]
    assert blurred.sum().item() == pytest.approx(1, abs=1e-6)
    assert (blurred[14, 15] / blurred[14, 14]).item() == pytest.approx(torch.exp(torch.tensor(-0.5)).item(), rel=1e-5)
    variance = (blurred.sum(0) * (torch.arange(28) - 14) ** 2).sum().item()
    assert variance == pytest.approx(1, abs=0.04)  # a little under sigma², being cut off at 3 sigma


def test_one_permutation_moves_the_pixels_of_every_image(images, rng):
    permuted = corruptions.pixel_permuted(images, rng)
    assert torch.equal(permuted.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
    columns = {tuple(column) for column in images.flatten(1).T.tolist()}
    assert {tuple(column) for column in permuted.flatten(1).T.tolist()} == columns


def test_half_size_is_the_average_in_the_middle(images):
    small = corruptions.half_size(images)
    assert small[0, 0, 7, 7] == pytest.approx(images[0, 0, :2, :2].mean().item())
    assert small.sum().item() == pytest.approx(images.sum().item() / 4, rel=1e-5)
    assert small[..., :7, :].sum() == small[..., 21:, :].sum() == small[..., :7].sum() == small[..., 21:].sum() == 0


@pytest.mark.parametrize("n", [2, 3, 6])
def test_partners_are_others(n, rng):
    levels = (torch.arange(n) / n)[:, None, None, None].expand(n, 1, 28, 28)
    mixed = corruptions.chimera(levels, rng)
    assert torch.equal(mixed[..., :14], levels[..., :14])
    partners = (mixed[:, 0, 0, 14] * n).round().long()
    assert (partners != torch.arange(n)).all()
    assert sorted(partners.tolist()) == list(range(n))  # each is a partner once


def test_overlaid_is_the_brighter_of_two(images):
    over = corruptions.overlaid(images[:2], torch.Generator().manual_seed(0))
    assert torch.equal(over, images[:2].amax(0, keepdim=True).expand(2, 1, 28, 28))


@pytest.mark.parametrize("name", ["overlaid", "chimera"])
def test_a_pair_needs_two(name, images, rng):
    with pytest.raises(BadInput, match="at least two"):
        CORRUPTIONS[name](images[:1], rng)


def test_binarised_is_zero_or_one(images):
    assert torch.equal(corruptions.binarised(images), (images > 0.5).float())


def test_images_from_nothing(rng):
    noise, flat, black = (
        corruptions.uniform_noise(50, rng),
        corruptions.constant(500, rng),
        corruptions.black(3),
    )
    for name, made in (("uniform_noise", noise), ("constant", flat), ("black", black)):
        check_images(made, name)
    n = noise.numel()
    assert abs(noise.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    assert torch.equal(flat, flat[:, :, :1, :1].expand_as(flat))
    assert abs(flat[:, 0, 0, 0].mean() - 0.5) < 4 * (1 / 12 / 500) ** 0.5
    assert flat[:, 0, 0, 0].unique().numel() > 490
    assert black.shape == (3, 1, 28, 28)
    assert black.sum() == 0
