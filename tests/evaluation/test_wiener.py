import torch
from torch import Tensor

from ebmnist.evaluation.detectors import ROUNDING
from ebmnist.evaluation.wiener import fit_wiener

SHAPE = (1, 4, 4)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(n: int) -> Tensor:
    factor = torch.randn(16, 16, generator=rng(1), dtype=torch.float64) / 16
    return (0.5 + torch.randn(n, 16, generator=rng(2), dtype=torch.float64) @ factor.T).view(n, *SHAPE)


def test_wiener_is_the_closed_form() -> None:
    clean, y = correlated(200), torch.rand(5, *SHAPE, generator=rng(3), dtype=torch.float64)
    flat, sigma = clean.flatten(1), 0.2
    cov = flat.T.cov()
    gain = cov @ torch.linalg.inv(cov + sigma**2 * torch.eye(16))
    expected = flat.mean(0) + (y.flatten(1) - flat.mean(0)) @ gain.T
    torch.testing.assert_close(fit_wiener(clean).denoise(y, sigma).flatten(1), expected)


def test_wiener_keeps_shape_and_dtype_and_trusts_a_noiseless_image() -> None:
    clean = correlated(200).float()
    x = fit_wiener(clean).denoise(clean[:3], 1e-6)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, clean[:3], atol=1e-5, rtol=0)


def test_fill_is_the_closed_form_and_never_reads_hidden_pixels() -> None:
    clean, y = correlated(200), torch.rand(5, *SHAPE, generator=rng(3), dtype=torch.float64)
    observed = torch.rand(SHAPE, generator=rng(4)) < 0.5
    flat, o = clean.flatten(1), observed.flatten()
    mean, cov = flat.mean(0), flat.T.cov()
    gain = cov[~o][:, o] @ torch.linalg.inv(cov[o][:, o] + ROUNDING * torch.eye(int(o.sum())))
    expected = mean[~o] + (y.flatten(1)[:, o] - mean[o]) @ gain.T
    x = fit_wiener(clean).fill(y.masked_fill(~observed, torch.nan), observed)
    torch.testing.assert_close(x.flatten(1)[:, ~o], expected)
    assert torch.equal(x.flatten(1)[:, o], y.flatten(1)[:, o])


def test_fill_completes_what_is_linear_in_the_observed_pixels() -> None:
    # The lower half repeats the upper one, and the first column is black in every image.
    upper = torch.rand(100, 1, 2, 4, generator=rng())
    upper[..., 0] = 0
    clean = torch.cat([upper, upper], dim=2)
    observed = torch.arange(4).view(1, 4, 1).expand(SHAPE) < 2
    torch.testing.assert_close(fit_wiener(clean).fill(clean[:3], observed), clean[:3], atol=1e-3, rtol=0)
