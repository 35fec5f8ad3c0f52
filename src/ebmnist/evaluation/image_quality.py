"""How good an image is, given the clean one: PSNR and SSIM, one value per image."""

import math

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Figure


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
    # Imported here because it takes seconds: who asks for a PSNR alone need not wait.
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check("ssim", x, y)
    values = []
    for a, b in zip(torch.split(x.clamp(0, 1), 500), torch.split(y, 500), strict=True):
        _, of_windows = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
        # torchmetrics reflects the image at its border; the 5 rows and columns there are not the paper's.
        values.append(of_windows[..., 5:-5, 5:-5].flatten(1).mean(1))
    return torch.cat(values)


def mean_figure(name: str, values: Tensor, *, unit: str = "", note: str = "") -> Figure:
    """Return the mean of a value per image, (N,), with its standard error; infinite values have none."""
    x = values.double()
    error = float(x.std() / len(x) ** 0.5)
    return Figure(name, float(x.mean()), error if math.isfinite(error) else None, unit, note)


def _check(name: str, x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise BadInput(f"{name}: shapes {tuple(x.shape)} and {tuple(y.shape)} differ; give one clean image for each")
