import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import mean_metric
from ebmnist.inference.image_quality import psnr, ssim

SHAPE = (1, 4, 4)


def test_psnr_by_hand() -> None:
    clean = torch.zeros(3, *SHAPE)
    x = clean.clone()
    x[0, 0, 0, 0] = 0.4  # mean square 0.16 / 16 = 0.01
    x[1] = 0.1
    assert psnr(x, clean).tolist() == pytest.approx([20, 20, math.inf])


def test_psnr_is_of_the_clamped_image() -> None:
    clean = torch.stack([torch.zeros(SHAPE), torch.full(SHAPE, 0.9)])
    assert psnr(clean + torch.tensor([-3.0, 3.0]).view(2, 1, 1, 1), clean).tolist() == pytest.approx([math.inf, 20])


def test_psnr_refuses_shapes_that_would_broadcast() -> None:
    with pytest.raises(BadInput, match="give one clean image for each"):
        psnr(torch.zeros(3, *SHAPE), torch.zeros(1, *SHAPE))


def test_psnr_of_some_pixels_sees_no_others() -> None:
    clean = torch.full((2, *SHAPE), 0.5)
    left = torch.arange(4).expand(SHAPE) < 2
    x = clean + torch.where(left, torch.tensor([0.1, 0.01]).view(2, 1, 1, 1), 0.4)
    assert psnr(x, clean, where=left).tolist() == pytest.approx([20, 40], abs=1e-3)


def test_ssim_is_that_of_scikit_image(images: torch.Tensor, rng: torch.Generator) -> None:
    x = images + 0.2 * torch.randn(images.shape, generator=rng)
    expected = [
        structural_similarity(a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in zip(x.clamp(0, 1)[:, 0].numpy(), images[:, 0].numpy(), strict=True)
    ]
    found = ssim(x, images)
    assert found.shape == (len(images),)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert 0 < min(expected) < max(expected) < 0.9


def test_ssim_of_one_image_with_itself_is_one(images: torch.Tensor) -> None:
    assert ssim(images[:1], images[:1]).tolist() == pytest.approx([1])


def test_ssim_refuses_shapes_that_would_broadcast(images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match=r"^ssim: .* give one clean image for each"):
        ssim(images, images[:1])


def test_a_mean_has_its_standard_error_and_an_infinite_one_has_none() -> None:
    metric = mean_metric("PSNR", torch.tensor([19.0, 20.0, 21.0]), unit="dB")
    assert (metric.value, metric.error) == pytest.approx((20, 1 / 3**0.5))
    infinite = mean_metric("PSNR", torch.tensor([20.0, math.inf]))
    assert (infinite.value, infinite.error) == (math.inf, None)
