"""Denoising in pictures: clean, noisy and denoised, with the PSNR of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ebmnist.data.png import BORDER, PITCH
from ebmnist.errors import BadInput
from ebmnist.reporting.grid import image_grid
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame, largest_scale
from ebmnist.reporting.plots.style import HEADER, INK, LABEL, MARGIN, MODEL, MUTED, SMALL, WIDEST

TOUCH = 8  # pixels between the clean and the noisy row
SIDE = 170  # pixels left of the images, for the names of the rows
CAPTION = 34  # pixels under a row, for the PSNR of each image
BETWEEN = 30  # pixels between two noise levels


class Denoised(NamedTuple):
    """N images at one noise level; images (N, 1, 28, 28), PSNR in dB, (N,)."""

    sigma: float  # on pixels in [0, 1]
    clean: Tensor
    noisy: Tensor  # may leave [0, 1]
    denoised: Tensor
    psnr_noisy: Tensor
    psnr_denoised: Tensor


def save_denoising(
    levels: Sequence[Denoised], path: Path, *, recipe: str, title: str = "Denoising by the energy"
) -> Path:
    """Draw three rows for each noise level, clipped to [0, 1], the PSNR under each image and its mean beside the row.

    Raises:
        BadInput: nothing to draw, levels of unlike sizes, another shape, NaN, an unknown suffix,
            or a path that cannot be written.
    """
    sizes = {len(value) for level in levels for value in level[1:]}
    if len(sizes) != 1 or 0 in sizes:
        raise BadInput(f"denoising: {len(levels)} levels of sizes {sorted(sizes)}; give some, all of one size ≥ 1")
    width = BORDER + PITCH * sizes.pop()
    scale = largest_scale(width, WIDEST - SIDE)
    strip = scale * (PITCH + BORDER)
    block = 3 * strip + TOUCH + 2 * CAPTION
    height = len(levels) * block + (len(levels) - 1) * BETWEEN
    words = f"recipe {recipe} · PSNR in dB under each image, the row's mean at its left"
    with canvas(path, *frame(SIDE + scale * width, height), title, words) as sheet:
        for i, level in enumerate(levels):
            _draw_level(sheet, HEADER + i * (block + BETWEEN), level, scale)
    return path


def _draw_level(sheet: Canvas, top: int, level: Denoised, scale: int) -> None:
    """Draw one noise level's three rows, its σ above the row names."""
    strip = scale * (PITCH + BORDER)
    sheet.text(MARGIN, top, f"σ = {level.sigma:g}", **LABEL | {"fontweight": "bold", "fontsize": 12})
    rows = (
        ("clean", level.clean, None, MUTED),
        ("noisy", level.noisy, level.psnr_noisy, MUTED),
        ("denoised", level.denoised, level.psnr_denoised, MODEL),
    )
    for name, images, psnr, colour in rows:
        middle = top + strip / 2
        sheet.image(image_grid(images.clamp(0, 1), len(images)), MARGIN + SIDE, top, scale)
        if psnr is None:
            sheet.text(MARGIN, middle, name, **LABEL | {"va": "center", "color": colour})
            top += strip + TOUCH
            continue
        sheet.text(MARGIN, middle - 2, name, **LABEL | {"va": "bottom", "color": colour})
        mean = f"{psnr.mean().item():.1f} dB"
        sheet.text(MARGIN, middle + 4, mean, **LABEL | {"fontweight": "bold", "color": INK})
        for i, value in enumerate(psnr.tolist()):
            centre = MARGIN + SIDE + scale * (BORDER + PITCH * i + 14)
            sheet.text(centre, top + strip + 4, f"{value:.1f}", **SMALL | {"ha": "center"})
        top += strip + CAPTION
