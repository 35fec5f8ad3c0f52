"""What the sections' pictures share: figures by name, rows of images, names of rows and panels."""

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ebmnist.data.png import BORDER, PITCH
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.grid import image_grid
from ebmnist.reporting.plots.canvas import Canvas
from ebmnist.reporting.plots.smoothing import Array
from ebmnist.reporting.plots.style import INK, LABEL, SMALL

PANEL_TITLE: dict[str, Any] = LABEL | {"fontweight": "bold"}
KEY: dict[str, Any] = {"frameon": False, "fontsize": 8.5, "handlelength": 1.4, "borderaxespad": 0.2}


def by_name(measured: SectionResult) -> dict[str, Metric]:
    """Return the finite figures and baselines by name."""
    return {f.name: f for f in (*measured.baselines, *measured.metrics) if math.isfinite(f.value)}


def bar(figure: Metric) -> float:
    """Return the half length of a figure's error bar; NaN, which draws none, where it has no error."""
    return math.nan if figure.error is None else figure.error


def spoken(figure: Metric) -> str:
    """Return a figure in words, to two digits of its error.

    >>> spoken(Metric("PSNR", 21.0172, 0.181, "dB")), spoken(Metric("drift", 1.4142))
    ('21.02 ± 0.18 dB', '1.41')
    """
    unit = f" {figure.unit}" if figure.unit else ""
    if not figure.error:
        return f"{figure.value:.3g}{unit}".replace("-", "−")
    n_decimals = max(0, 1 - math.floor(math.log10(figure.error)))
    return f"{figure.value:,.{n_decimals}f} ± {figure.error:,.{n_decimals}f}{unit}".replace("-", "−")


def array(x: Tensor) -> Array:
    """Return a tensor as float64 numbers for matplotlib."""
    values: Array = x.detach().double().cpu().numpy()
    return values


def strip_size(n: int, scale: int) -> tuple[int, int]:
    """Return width and height in pixels of a row of `n` images."""
    return scale * (BORDER + PITCH * n), scale * (BORDER + PITCH)


def strip(sheet: Canvas, images: Tensor, left: float, top: float, scale: int) -> None:
    """Draw images (N, 1, 28, 28), clipped to [0, 1], in one row."""
    sheet.image(image_grid(images.clamp(0, 1), len(images)), left, top, scale)


def beside(sheet: Canvas, left: float, middle: float, name: str, note: str = "", colour: str = INK) -> None:
    """Write a row's name, and a note under it, around the height `middle`."""
    sheet.text(
        left, middle + (0 if not note else -2), name, **LABEL | {"va": "bottom" if note else "center", "color": colour}
    )
    sheet.text(left, middle + 3, note, **SMALL)


def ticks(values: Iterable[float]) -> list[str]:
    """Return whole numbers as labels.

    >>> ticks([64.0, 2048.0])
    ['64', '2,048']
    """
    return [f"{value:,.0f}" for value in values]
