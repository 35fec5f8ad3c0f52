"""Calibration of a denoiser on training images: the distribution of each byte, given what the denoiser says of it.

Histogram binning (Zadrozny & Elkan 2001) with 256 outcomes. The same table has two uses: its mean is a better denoiser,
and its probabilities decode bytes from noisy images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ebmnist.energies.base import per_sample
from ebmnist.errors import Unmeasurable
from ebmnist.inference.denoisers import Denoiser
from ebmnist.random import AnyRng, Rng

N_BYTES = 256
N_ESTIMATE, N_NOISY = 40, 20  # cells of an estimate, even on [−.15, 1.15], and of a noisy pixel
EDGES = (0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 0.9)  # of the largest estimate among a pixel and its eight neighbours
MARGIN = 0.15  # beyond [0, 1]
PSEUDO_COUNT = 60.0  # pixels that a cell's parent counts for
BATCH_SIZE = 1000


@dataclass(frozen=True)
class Calibration:
    """p(byte | d, m, y) of each pixel: d its estimate, m the largest among it and its eight neighbours, y as it is.

    The estimate is y + c·(D(y, σ) − y). Cells are nested: d, then (d, m), then (d, m, y). The distribution of a cell is
    its count of bytes plus `PSEUDO_COUNT` pixels of its parent's distribution (MacKay & Peto 1995).
    """

    denoiser: Denoiser
    scale: float
    """c, of least squared error on the training images."""
    log_p: Tensor
    """(cells, 256), nats."""
    means: Tensor
    """(cells,), of the pixel, in [0, 1]."""
    sigma: float
    """The largest noise that it was fitted at, which sets the cells of y."""

    def __call__(self, y: Tensor, sigma: Tensor, /) -> Tensor:
        """Return the mean of each pixel given its cell, (B, *shape); `sigma` (B,). It is a `Denoiser`."""
        return self.means.to(y.dtype)[self._cells(y, sigma)]

    def log_prob(self, x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        """Return log p(bytes of x | y) in nats, (B, *shape) twice -> (B,): pixels are independent given y."""
        return self.log_p[self._cells(y, sigma), bytes_of(x)].flatten(1).sum(1)

    def _cells(self, y: Tensor, sigma: Tensor) -> Tensor:
        d, m, noisy = _features(y + self.scale * (self.denoiser(y, sigma) - y), y, self.sigma)
        return (d * (len(EDGES) + 1) + m) * N_NOISY + noisy


def bytes_of(x: Tensor) -> Tensor:
    """Return 0 … 255, the byte nearest to 255 times each pixel, int64."""
    return (x * (N_BYTES - 1)).round().long()


def fit_calibration(denoiser: Denoiser, x: Tensor, low: float, high: float, *, rng: AnyRng) -> Calibration:
    """Fit scale and table to images x, (N, 1, H, W) in [0, 1], each with noise σ, log σ even on [log low, log high].

    Cost: N denoised images.

    Raises:
        Unmeasurable: a denoiser that moves no image, or estimates that are not finite.
    """
    rng = Rng.of(rng)
    sigma = log_uniform(len(x), low, high, rng).to(x)
    y = x + per_sample(sigma, x) * rng.normal(tuple(x.shape)).to(x)
    parts = zip(torch.split(y, BATCH_SIZE), torch.split(sigma, BATCH_SIZE), strict=True)
    step = torch.cat([denoiser(part, s) - part for part, s in parts])
    weight = per_sample(sigma.double() ** -2, x)  # of a squared error in the bound
    scale = float((weight * step * (x - y)).sum() / (weight * step.double().square()).sum())
    if scale != scale:
        raise Unmeasurable(f"at σ = {low:.2g} the denoiser moves no image, or its estimates are not finite")
    counts = _counts(_features(y + scale * step, y, high), bytes_of(x))
    p = _smoothed(counts)
    means = p @ torch.linspace(0, 1, N_BYTES, device=p.device)
    return Calibration(denoiser, scale, p.log(), means, high)


def log_uniform(n: int, low: float, high: float, rng: AnyRng) -> Tensor:
    """Return σ of n images, (n,) float64: log σ stratified on [log low, log high], strata in a random order.

    Each has the same law, and together they cover the range evenly (Kingma et al. 2021).
    """
    rng = Rng.of(rng)
    u = (rng.permutation(n) + rng.uniform((n,), torch.float64)) / n
    return low * (high / low) ** u


def _features(estimate: Tensor, y: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cell of each pixel along d, m and y, (B, *shape) each."""
    edges = torch.tensor(EDGES, device=y.device, dtype=y.dtype)
    largest = max_pool2d(estimate, 3, 1, 1)
    beyond = MARGIN + 2 * sigma
    return _even(estimate, MARGIN, N_ESTIMATE), torch.bucketize(largest, edges), _even(y, beyond, N_NOISY)


def _even(values: Tensor, beyond: float, n: int) -> Tensor:
    """Return which of n even cells of [−beyond, 1 + beyond] values are in; the outer two hold what is outside."""
    return ((values + beyond) * (n / (1 + 2 * beyond))).clamp(0, n - 1).long()


def _counts(features: tuple[Tensor, Tensor, Tensor], pixels: Tensor) -> Tensor:
    """Count bytes by cell, (d, m, y, 256)."""
    shape = (N_ESTIMATE, len(EDGES) + 1, N_NOISY, N_BYTES)
    cells = torch.zeros_like(pixels)
    for feature, n in zip((*features, pixels), shape, strict=True):
        cells = cells * n + feature
    n_all = N_ESTIMATE * (len(EDGES) + 1) * N_NOISY * N_BYTES
    return cells.flatten().bincount(minlength=n_all).view(shape).float()


def _smoothed(counts: Tensor) -> Tensor:
    """Return p(byte | cell), (d·m·y, 256), each cell's counts smoothed towards its parent's distribution."""
    whole = counts.sum((0, 1, 2))
    p = (whole + 1 / N_BYTES) / (whole.sum() + 1)  # no byte is impossible
    for level in (counts.sum((1, 2)), counts.sum(2), counts):
        p = (level + PSEUDO_COUNT * p.unsqueeze(-2)) / (level.sum(-1, keepdim=True) + PSEUDO_COUNT)
    return p.flatten(0, 2)
