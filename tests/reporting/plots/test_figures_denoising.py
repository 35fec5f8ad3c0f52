"""Denoising: three rows for each noise level, and refusals."""

import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import Denoised, save_denoising


def level(n=3, sigma=0.3):
    rng = torch.Generator().manual_seed(3)
    clean = torch.rand(n, 1, 28, 28, generator=rng)
    noisy = clean + sigma * torch.randn(clean.shape, generator=rng)
    return Denoised(sigma, clean, noisy, clean, torch.full((n,), 10.5), torch.full((n,), torch.inf))


def test_each_level_adds_as_much_height(tmp_path):
    heights = []
    for n in (1, 2, 3):
        path = save_denoising([level()] * n, tmp_path / f"{n}.png", recipe="default")
        with Image.open(path) as picture:
            heights.append(picture.height)
    assert heights[1] - heights[0] == heights[2] - heights[1] > 3 * 30 * 6


def test_the_numbers_are_in_the_picture(tmp_path):
    a = save_denoising([level()], tmp_path / "a.png", recipe="default").read_bytes()
    other = level()._replace(psnr_noisy=torch.tensor([10.5, 10.5, 11.5]))
    assert a != save_denoising([other], tmp_path / "b.png", recipe="default").read_bytes()


@pytest.mark.parametrize(
    "levels", [[], [level(0)], [level(2), level(3)], [level()._replace(psnr_noisy=torch.zeros(2))]]
)
def test_nothing_or_unlike_levels(tmp_path, levels):
    with pytest.raises(BadInput, match="levels of sizes"):
        save_denoising(levels, tmp_path / "a.png", recipe="default")


def test_nan_images(tmp_path):
    broken = level()._replace(denoised=torch.full((3, 1, 28, 28), float("nan")))
    with pytest.raises(BadInput, match="NaN"):
        save_denoising([broken], tmp_path / "a.png", recipe="default")
    assert not list(tmp_path.iterdir())
