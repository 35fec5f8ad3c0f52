"""The landscape in one picture: the energies of sets, those between two digits, and where −∇E points."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import SectionResult
from ebmnist.inference.saliency import KINDS
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.energies import BLOCK, draw_histograms
from ebmnist.reporting.plots.lookup import KEY, PANEL_TITLE, array, beside, by_name, spoken, strip, strip_size
from ebmnist.reporting.plots.smoothing import Array
from ebmnist.reporting.plots.style import BLUE, DATA, GREY, HEADER, MARGIN, MODEL, ORANGE, PAPER, SMALL

CURVES = {  # array: name, colour
    "on straight lines: one digit": ("straight line, one digit", GREY),
    "on straight lines: two digits": ("straight line, two digits", DATA),
    "on relaxed paths: two digits": ("relaxed path, two digits", MODEL),
}
SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, PAPER, ORANGE])
WIDTH, HEIGHT = 520, 370  # pixels of the curves
NUMBERS, BETWEEN = 60, 70  # pixels left of them, and right
TILE, STEP, ASIDE = 84, 88, 32  # pixels of a corrupted digit, to −∇E under it, and between two kinds
N_TRIPLES = 2  # corrupted digits of each kind
LEVELS = "energies: "  # what the arrays of energies begin with
SCALE = "E(test), standard deviation"  # figure
N_PAIRS = 2  # of paths that are drawn


def save_landscape(
    measured: SectionResult, path: Path, *, recipe: str, title: str = "How high images lie, and what is between them"
) -> Path:
    """Draw histograms of energies, energy along straight lines and relaxed paths, two of these in images, and −∇E.

    Raises:
        BadInput: no paths, an unknown suffix, or a path that cannot be written.
    """
    if not any(key in measured.arrays for key in CURVES):
        raise BadInput("landscape: no paths to draw")
    lines, relaxed = (measured.arrays.get(f"images: {name}") for name in ("straight lines", "relaxed paths"))
    n_points = 0 if lines is None else lines.shape[1]
    strip_width, strip_height = strip_size(n_points, 2)
    content = max(NUMBERS + WIDTH + BETWEEN + 2 * 300, 140 + strip_width)
    sets = {k.removeprefix(LEVELS): values for k, values in measured.arrays.items() if k.startswith(LEVELS)}
    above = 40 + BLOCK + 30 if sets else 0
    top = HEADER + above + 40
    paths_top = top + HEIGHT + 110
    below = 50 + N_PAIRS * (2 * strip_height + 20) if lines is not None and relaxed is not None else 0
    with canvas(
        path,
        *frame(content, above + 40 + HEIGHT + 50 + below),
        title,
        f"recipe {recipe} · 0: the higher of a path's ends · shaded: the middle half of the paths",
    ) as sheet:
        if sets:
            sheet.text(MARGIN, HEADER, "Energies: low is likely", **PANEL_TITLE)
            draw_histograms(sheet, sets, HEADER + 40)
        _draw_curves(sheet.axes(MARGIN + NUMBERS, top, WIDTH, HEIGHT), measured)
        unit = ", in σ of E(test)" if SCALE in by_name(measured) else ""
        sheet.text(MARGIN, top - 40, f"Median energy along paths{unit}", **PANEL_TITLE)
        sheet.text(MARGIN + NUMBERS + WIDTH, top + HEIGHT + 14, "from one end to the other", **SMALL | {"ha": "right"})
        _draw_saliency(sheet, MARGIN + NUMBERS + WIDTH + BETWEEN, top, measured)
        if lines is not None and relaxed is not None:
            sheet.text(MARGIN, paths_top - 40, "From one digit to another", **PANEL_TITLE)
            _draw_paths(sheet, paths_top, lines, relaxed)
    return path


def _draw_curves(axes: Axes, measured: SectionResult) -> None:
    """Draw, above the higher end of each path, the median over paths and the middle half of them."""
    figures = by_name(measured)
    scale = figures.get(SCALE)
    for key, (name, colour) in CURVES.items():
        if key not in measured.arrays:
            continue
        energy = array(measured.arrays[key]) / (1.0 if scale is None else scale.value)
        above: Array = energy - np.maximum(energy[:, :1], energy[:, -1:])
        height = figures.get(f"barrier, {name}")
        label = name if height is None else f"{name}: barrier {spoken(height)}"
        t = np.linspace(0, 1, above.shape[1])
        low, middle, high = np.quantile(above, (0.25, 0.5, 0.75), axis=0)
        axes.fill_between(t, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(t, middle, color=colour, linewidth=2.2, label=label)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1.2)
    axes.set(xlim=(0, 1), xticks=[0, 1], xticklabels=["", ""])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
    low, high = axes.get_ylim()
    axes.set_ylim(low, low + 1.3 * (high - low))  # room for the names
    axes.legend(loc="upper left", **KEY)


def _draw_saliency(sheet: Canvas, left: float, top: float, measured: SectionResult) -> None:
    """Draw for each kind of corruption two digits, and under each −∇E, which would lead back to the clean one."""
    names = [kind.replace("_", "-") for kind in KINDS]
    kinds = [name for name in names if {f"images: {name}", f"−∇E: {name}"} <= set(measured.arrays)]
    if not kinds:
        return
    sheet.text(left, top - 40, "Corrupted digits, and −∇E under each", **PANEL_TITLE)
    figures = by_name(measured)
    for i, kind in enumerate(kinds):
        place = left + i * (TILE + ASIDE)
        sheet.text(place, top - 2, kind, **SMALL)
        images, descents = measured.arrays[f"images: {kind}"], measured.arrays[f"−∇E: {kind}"]
        for j in range(min(N_TRIPLES, len(images))):
            below = top + 24 + j * (2 * STEP + 8)
            _tile(sheet, place, below, array(images[j, 0]), signed=False)
            _tile(sheet, place, below + STEP, array(descents[j, 0]), signed=True)
        if cosine := figures.get(f"−∇E towards the clean digit, {kind}"):
            note = f"cos {cosine.value:.2f}".replace("-", "−")
            sheet.text(place, top + 24 + N_TRIPLES * (2 * STEP + 8), note, **SMALL)


def _tile(sheet: Canvas, left: float, top: float, image: Array, *, signed: bool) -> None:
    """Draw one image (28, 28), grey, or in blue below zero and orange above."""
    axes = sheet.axes(left, top, TILE, TILE)
    # A few pixels of a gradient far outdo the others.
    reach = float(np.quantile(np.abs(image), 0.99)) or 1.0
    look = {"cmap": SIGNED, "vmin": -reach, "vmax": reach} if signed else {"cmap": "gray", "vmin": 0, "vmax": 1}
    axes.imshow(image, interpolation="nearest", aspect="auto", **look)  # type: ignore[arg-type]
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
