from dataclasses import replace

import pytest
import torch

from ebmnist.data.base import Split
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.class_gaussian import fit_class_gaussian


def two_classes(n: int = 4000) -> Split:
    """Class 0 at 0.2 and class 1, three times as frequent, at 0.7; pixels 0 and 1 correlated, the last constant."""
    rng = torch.Generator().manual_seed(0)
    labels = (torch.arange(n) % 4 > 0).long()
    xi = 0.03 * torch.randn(n, 4, generator=rng)
    xi[:, 1] = 0.5 * xi[:, 0] + 0.5 * xi[:, 1]
    xi[:, 3] = 0
    images = 0.2 + 0.5 * labels[:, None] + xi
    return Split(images.view(n, 1, 2, 2), labels)


def test_samples_have_the_shares_means_and_covariances_of_the_classes() -> None:
    train = two_classes()
    n = 20_000
    x = fit_class_gaussian(train).sample(n, torch.Generator().manual_seed(1))
    assert x.shape == (n, 1, 2, 2)
    flat = x.flatten(1).double()
    high = flat[:, 3] > 0.45
    assert float(high.double().mean()) == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / n) ** 0.5)
    for mine, label in ((~high, 0), (high, 1)):
        real = train.images[train.labels == label].flatten(1).double()
        torch.testing.assert_close(flat[mine].mean(0), real.mean(0), atol=4 * 0.03 / 5000**0.5, rtol=0)
        torch.testing.assert_close(flat[mine].T.cov(), real.T.cov(), atol=6e-5, rtol=0)
        assert float(flat[mine][:, 3].std()) < 1e-6


def test_samples_are_clamped_to_the_range_of_pixels() -> None:
    fit = fit_class_gaussian(two_classes(40))
    x = fit._replace(means=100 * fit.means).sample(50, torch.Generator().manual_seed(1))
    assert (float(x.min()), float(x.max())) == (0, 1)


def test_same_rng_same_images() -> None:
    fit = fit_class_gaussian(two_classes(40))
    first, second = (fit.sample(9, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_class_of_one_image_is_refused() -> None:
    train = two_classes(40)
    labels = train.labels.clone()
    labels[5] = 2
    with pytest.raises(Unmeasurable, match="class 2 has fewer than 2"):
        fit_class_gaussian(replace(train, labels=labels))


def test_a_digit_that_is_held_out_has_no_gaussian_and_leaves_the_others_theirs() -> None:
    train = two_classes(40)
    fit, others = fit_class_gaussian(replace(train, labels=3 * train.labels + 1)), fit_class_gaussian(train)  # 1 and 4
    first, second = (f.sample(50, torch.Generator().manual_seed(2)) for f in (fit, others))
    assert torch.equal(first, second)
