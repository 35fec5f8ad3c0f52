"""Restoration by guided ancestral sampling: exact for Gaussian images, and each sample obeys its measurement."""

import pytest
import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.inference.denoisers import denoiser_of
from ebmnist.inference.operators import AveragePool, GaussianBlur, Identity, LinearOperator, Mask
from ebmnist.inference.posterior import Posterior, restore, schedule_for
from ebmnist.random import Rng
from ebmnist.sampling import AnnealedLangevin, Langevin

KERNEL = AnnealedLangevin(sigma_max=1.0, n_hold=8, n_anneal=56)
SIDE, SD, SIGMA, SIGMA_Y = 8, 0.3, 0.5, 0.1
OPERATORS = [Identity(), Mask(torch.arange(8) < 4), AveragePool(2), GaussianBlur(1.0)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(x: Tensor) -> Tensor:
    """Images N(½, SD²) at noise SIGMA: D(x) = x − (x − ½)·SIGMA²/(SIGMA² + SD²)."""
    return 0.5 * KERNEL.curvature * SIGMA**2 / (SIGMA**2 + SD**2) * (x - 0.5).square().flatten(1).sum(1)


def grey_levels(x: Tensor) -> Tensor:
    """Images of one grey level each, any level as likely: D(x) is the mean pixel, at every noise level."""
    return 0.5 * KERNEL.curvature * (x - x.mean((1, 2, 3), keepdim=True)).square().flatten(1).sum(1)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
def test_the_mean_is_that_of_gaussian_conditioning(operator: LinearOperator) -> None:
    """x and y are jointly Gaussian with the image: E[image | x, y] by its two linear equations."""
    x, image = (torch.randn(3, 1, SIDE, SIDE, generator=seeded(s), dtype=torch.float64) for s in (1, 2))
    y = operator.forward(image)
    a = operator.forward(torch.eye(SIDE**2, dtype=torch.float64).view(-1, 1, SIDE, SIDE)).flatten(1).T
    precision = torch.eye(SIDE**2, dtype=torch.float64) * (1 / SD**2 + 1 / SIGMA**2) + a.T @ a / SIGMA_Y**2
    pull = 0.5 / SD**2 + x.flatten(1) / SIGMA**2 + y.flatten(1) @ a / SIGMA_Y**2
    expected = torch.linalg.solve(precision, pull.T).T.view_as(x)
    found = Posterior(denoiser_of(gaussian, KERNEL), operator, SIGMA_Y**2, prior_variance=SD**2).mean(x, y, SIGMA)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("operator", OPERATORS[:3], ids=lambda operator: type(operator).__name__)
def test_what_is_measured_decides_the_whole_image(operator: LinearOperator) -> None:
    """The grey level given n measured pixels is N(their mean, σ_y²/n): so are samples, a little closer."""
    image = torch.linspace(0.1, 0.9, 60).view(-1, 1, 1, 1).expand(60, 1, SIDE, SIDE)
    exact = restore(grey_levels, KERNEL, operator.forward(image), operator, 0.0, rng=seeded(0), n_samples=2)
    assert exact.shape == (2, 60, 1, SIDE, SIDE)
    assert float((exact - image).abs().max()) < 0.02
    measured = operator.forward(torch.ones(60, 1, SIDE, SIDE))
    n = int(measured[0].sum())
    y = operator.forward(image) + 0.1 * measured * torch.randn(measured.shape, generator=seeded(1))
    x = restore(grey_levels, KERNEL, y, operator, 0.1, rng=seeded(0), n_samples=8)
    error = x.mean((2, 3, 4)) - y.flatten(1).sum(1) / n
    assert abs(float(error.mean())) < 4 * float(error.std()) / 480**0.5
    assert float(error.std()) == pytest.approx(0.1 / n**0.5, rel=0.35)


def test_samples_do_not_depend_on_how_many_are_drawn() -> None:
    y = torch.rand(3, 1, SIDE, SIDE, generator=seeded(0))
    many = restore(grey_levels, KERNEL, y, Identity(), 0.3, rng=Rng(1), n_samples=3, n_steps=9)
    torch.testing.assert_close(
        restore(grey_levels, KERNEL, y[:2], Identity(), 0.3, rng=Rng(1), n_steps=9)[0], many[0, :2]
    )
    assert not torch.equal(many[0], many[1])
    assert not torch.equal(restore(grey_levels, KERNEL, y, Identity(), 0.3, rng=Rng(2), n_steps=9)[0], many[0])


def test_each_image_may_have_a_mask_of_its_own() -> None:
    y = torch.rand(2, 1, SIDE, SIDE, generator=seeded(0))
    left = torch.arange(SIDE) < 4
    masks = torch.stack([left.expand(1, SIDE, SIDE), ~left.expand(1, SIDE, SIDE)])
    both = restore(grey_levels, KERNEL, y, Mask(masks), 0.0, rng=Rng(1), n_steps=8)
    torch.testing.assert_close(
        restore(grey_levels, KERNEL, y[:1], Mask(masks[0]), 0.0, rng=Rng(1), n_steps=8), both[:, :1]
    )


def test_progress_counts_every_step_of_every_batch() -> None:
    told: list[int] = []
    y = torch.zeros(130, 1, 4, 4)
    restore(grey_levels, KERNEL, y, Identity(), 0.1, rng=Rng(0), n_samples=2, n_steps=8, progress=told.append)
    assert told == list(range(1, 17))


def test_levels_end_where_the_denoiser_still_helps() -> None:
    assert schedule_for(KERNEL, 25).sigma_min == 0.03
    assert schedule_for(AnnealedLangevin(sigma_min=0.1), 25).sigma_min >= 0.1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sigma": -0.1}, "sigma must be ≥ 0 and finite"),
        ({"sigma": float("inf")}, "sigma must be ≥ 0 and finite"),
        ({"n_samples": 0}, "n_samples must be ≥ 1"),
        ({"n_steps": 4}, "at least 8 steps"),
        ({"kernel": Langevin()}, "trained at one temperature"),
    ],
)
def test_what_cannot_be_restored_is_one_line(given: dict[str, object], said: str) -> None:
    words = {"kernel": KERNEL, "operator": Identity(), "sigma": 0.1} | given
    with pytest.raises(BadInput, match=said) as caught:
        restore(grey_levels, y=torch.zeros(1, 1, 8, 9), rng=Rng(0), **words)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
