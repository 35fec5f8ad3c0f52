"""How good an image is, given the clean one: PSNR and SSIM, one value per image."""

import torch
from torch import Tensor
from torch.nn import functional

from ebmnist.energies.precision import in_full
from ebmnist.errors import BadInput


def psnr(x: Tensor, y: Tensor, *, where: Tensor | None = None) -> Tensor:
    """Return −10 log₁₀ mean (x − y)² in dB, one per image, (B, *shape) -> (B,), with `x` clamped to [0, 1].

    `y` is the clean image; where the two are equal it is infinite. `where`, bool, broadcastable to the images, tells
    which pixels count; by default all do.

    Raises:
        BadInput: the shapes differ.

    >>> psnr(torch.full((1, 1, 2, 2), 0.6), torch.full((1, 1, 2, 2), 0.5))
    tensor([20.0000])
    """
    _check("psnr", x, y)
    squares = (x.clamp(0, 1) - y).square()
    counted = torch.ones_like(squares) if where is None else where.expand_as(squares).to(squares.dtype)
    return -10 * ((squares * counted).flatten(1).sum(1) / counted.flatten(1).sum(1)).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the structural similarity, (B, 1, H, W) -> (B,), 1 where equal, with `x` clamped to [0, 1].

    Wang et al. (2004): windows of 11 by 11, Gaussian of σ = 1.5, those wholly inside the image; H, W ≥ 11.

    Raises:
        BadInput: the shapes differ.
    """
    _check("ssim", x, y)
    x = x.clamp(0, 1)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y = _windowed(x * x) - mean_x.square(), _windowed(y * y) - mean_y.square()
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2  # (K₁L)² and (K₂L)², L = 1 the range of a pixel
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (alike / ((mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2))).flatten(1).mean(1)


def _windowed(x: Tensor) -> Tensor:
    """Return the weighted mean over each window, (B, 1, H, W) -> (B, 1, H − 10, W − 10); the Gaussian is separable."""
    offset = torch.arange(-5, 6, device=x.device, dtype=x.dtype)
    weights = (-offset.square() / (2 * 1.5**2)).softmax(0)
    with in_full(x.device):
        return functional.conv2d(functional.conv2d(x, weights.view(1, 1, 11, 1)), weights.view(1, 1, 1, 11))


def _check(name: str, x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise BadInput(f"{name}: shapes {tuple(x.shape)} and {tuple(y.shape)} differ; give one clean image for each")
