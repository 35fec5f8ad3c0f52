"""The landscape in one picture: energy between two digits, what lies on the way, and where −∇E points."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from ebmnist.artifacts.figures.canvas import Canvas, canvas, frame
from ebmnist.artifacts.figures.lookup import KEY, PANEL_TITLE, array, beside, by_name, strip, strip_size
from ebmnist.artifacts.figures.smoothing import Array
from ebmnist.artifacts.figures.style import BLUE, DATA, GREY, HEADER, MARGIN, MODEL, ORANGE, PAPER, SMALL
from ebmnist.artifacts.measurements import words
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Measured
from ebmnist.evaluation.saliency import KINDS

CURVES = {  # array: name, colour
    "on straight lines: one digit": ("straight line, one digit", GREY),
    "on straight lines: two digits": ("straight line, two digits", DATA),
    "on relaxed paths: two digits": ("relaxed path, two digits", MODEL),
}
SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, PAPER, ORANGE])
WIDTH, HEIGHT = 520, 360  # pixels of the curves
NUMBERS, BETWEEN = 60, 70  # pixels left of them, and right
TILE, STEP = 84, 90  # pixels of a digit in the triples, and from one to the next
N_PAIRS = 2  # of paths that are drawn


def save_landscape(
    measured: Measured, path: Path, *, recipe: str, title: str = "Between two digits, and back to one"
) -> Path:
    """Draw the energy along straight lines and relaxed paths, two of these in images, and −∇E at corrupted digits.

    Raises:
        BadInput: no paths, an unknown suffix, or a path that cannot be written.
    """
    if not any(key in measured.arrays for key in CURVES):
        raise BadInput("landscape: no paths to draw")
    lines, relaxed = (measured.arrays.get(f"images: {name}") for name in ("straight lines", "relaxed paths"))
    n_points = 0 if lines is None else lines.shape[1]
    strip_width, strip_height = strip_size(n_points, 2)
    content = max(NUMBERS + WIDTH + BETWEEN + 2 * 300, 140 + strip_width)
    top = HEADER + 40
    paths_top = top + HEIGHT + 110
    below = 50 + N_PAIRS * (2 * strip_height + 20) if lines is not None and relaxed is not None else 0
    with canvas(
        path, *frame(content, 40 + HEIGHT + 50 + below), title, f"recipe {recipe} · {_said(measured)}"
    ) as sheet:
        _draw_curves(sheet.axes(MARGIN + NUMBERS, top, WIDTH, HEIGHT), measured)
        sheet.text(MARGIN, top - 40, "Energy along paths, in σ of E over test images", **PANEL_TITLE)
        sheet.text(MARGIN + NUMBERS + WIDTH, top + HEIGHT + 14, "from one end to the other", **SMALL | {"ha": "right"})
        _draw_saliency(sheet, MARGIN + NUMBERS + WIDTH + BETWEEN, top, measured)
        if lines is not None and relaxed is not None:
            sheet.text(MARGIN, paths_top - 40, "From one digit to another", **PANEL_TITLE)
            _draw_paths(sheet, paths_top, lines, relaxed)
    return path


def _said(measured: Measured) -> str:
    figures = by_name(measured)
    barriers = [(name, figures.get(f"barrier, {name}")) for name, _ in CURVES.values()]
    return " · ".join(f"barrier, {name}: {words(f)}" for name, f in barriers if f) or "bold: median of the paths"


def _draw_curves(axes: Axes, measured: Measured) -> None:
    """Draw, above the higher end of each path, the median over paths and the middle half of them."""
    scale = by_name(measured).get("E(test), standard deviation")
    for key, (name, colour) in CURVES.items():
        if key not in measured.arrays:
            continue
        energy = array(measured.arrays[key]) / (1.0 if scale is None else scale.value)
        above: Array = energy - np.maximum(energy[:, :1], energy[:, -1:])
        t = np.linspace(0, 1, above.shape[1])
        low, middle, high = np.quantile(above, (0.25, 0.5, 0.75), axis=0)
        axes.fill_between(t, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(t, middle, color=colour, linewidth=2.2, label=name)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1.2)
    axes.set(xlim=(0, 1), xticks=[0, 1], xticklabels=["", ""])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
    axes.legend(loc="best", **KEY)


def _draw_saliency(sheet: Canvas, left: float, top: float, measured: Measured) -> None:
    """Draw for each kind of corruption a digit, −∇E there, and the digit a step down."""
    kinds = [kind.replace("_", "-") for kind in KINDS if f"−∇E: {kind.replace('_', '-')}" in measured.arrays]
    if not kinds:
        return
    sheet.text(left, top - 40, "Where −∇E points: corrupted digits, downhill below", **PANEL_TITLE)
    figures = by_name(measured)
    for i, kind in enumerate(kinds):
        place = left + i * (2 * TILE + 60) / 2
        sheet.text(place, top, kind, **SMALL)
        for row, name in enumerate(("images", "−∇E")):
            _tile(sheet, place, top + 26 + row * STEP, measured.arrays[f"{name}: {kind}"])
        if cosine := figures.get(f"−∇E towards the clean digit, {kind}"):
            sheet.text(place, top + 26 + 2 * STEP, f"cos {cosine.value:.2f}".replace("-", "−"), **SMALL)


def _tile(sheet: Canvas, left: float, top: float, images: Tensor) -> None:
    """Draw the first image: grey, or signed in two colours if it has negative values."""
    image = array(images[0, 0])
    axes = sheet.axes(left, top, TILE, TILE)
    if image.min() < 0:
        reach = float(np.quantile(np.abs(image), 0.995))
        axes.imshow(image, cmap=SIGNED, vmin=-reach, vmax=reach, interpolation="nearest", aspect="auto")
    else:
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)


def _draw_paths(sheet: Canvas, top: float, lines: Tensor, relaxed: Tensor) -> None:
    """Draw pairs of rows: a straight line, and the same one relaxed."""
    _, height = strip_size(1, 2)
    for i in range(min(N_PAIRS, len(lines))):
        for row, (name, images, colour) in enumerate((("straight", lines[i], DATA), ("relaxed", relaxed[i], MODEL))):
            place = top + i * (2 * height + 20) + row * (height + 4)
            strip(sheet, images, MARGIN + 140, place, 2)
            beside(sheet, MARGIN, place + height / 2, name, colour=colour)
