"""Fidelity in pictures: samples above their nearest training images, which digits they are, how near they lie."""

from pathlib import Path

import numpy as np

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import SectionResult
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.lookup import PANEL_TITLE, array, beside, by_name, spoken, strip, strip_size
from ebmnist.reporting.plots.style import DATA, HEADER, MARGIN, MODEL, SMALL

SIDE = 150  # pixels left of the rows of images, for their names
N_COLUMNS, SCALE = 12, 3
TOUCH, CAPTION = 6, 46  # pixels between a sample and its neighbour, and under both
HEIGHT, PANEL = 230, 560  # pixels of a plot


def save_fidelity(
    measured: SectionResult, path: Path, *, recipe: str, title: str = "Samples and their nearest training images"
) -> Path:
    """Draw the first 24 samples, each above its nearest training image, their digits and their distances.

    Raises:
        BadInput: no samples or neighbours, an unknown suffix, or a path that cannot be written.
    """
    arrays = measured.arrays
    if "samples" not in arrays or "nearest" not in arrays:
        raise BadInput("fidelity: no samples with their neighbours to draw")
    n = min(2 * N_COLUMNS, len(arrays["samples"]), len(arrays["nearest"]))
    width, height = strip_size(N_COLUMNS, SCALE)
    block = 2 * height + TOUCH + CAPTION
    n_blocks = -(-n // N_COLUMNS)
    content = SIDE + width
    subtitle = f"recipe {recipe} · the first {n} samples, not chosen · the distance to its neighbour under each pair"
    with canvas(path, *frame(content, n_blocks * block + 50 + HEIGHT + 60), title, subtitle) as sheet:
        for i in range(n_blocks):
            _draw_pairs(sheet, HEADER + i * block, measured, slice(i * N_COLUMNS, min((i + 1) * N_COLUMNS, n)))
        top = HEADER + n_blocks * block + 50
        _draw_digits(sheet, MARGIN + 50, top, measured)
        _draw_distances(sheet, MARGIN + content - PANEL, top, measured)
    return path


def _draw_pairs(sheet: Canvas, top: int, measured: SectionResult, chosen: slice) -> None:
    """Draw a row of samples over a row of neighbours."""
    _, height = strip_size(1, SCALE)
    for row, (name, key, colour) in enumerate(
        (("samples", "samples", MODEL), ("nearest in\ntraining set", "nearest", DATA))
    ):
        place = top + row * (height + TOUCH)
        strip(sheet, measured.arrays[key][chosen], MARGIN + SIDE, place, SCALE)
        beside(sheet, MARGIN, place + height / 2, name, colour=colour)
    distances = measured.arrays.get("nearest_distances")
    for i, distance in enumerate([] if distances is None else distances[chosen].tolist()):
        centre = MARGIN + SIDE + SCALE * (2 + 30 * i + 14)
        sheet.text(centre, top + 2 * height + TOUCH + 5, f"{distance:.1f}", **SMALL | {"ha": "center"})


def _draw_digits(sheet: Canvas, left: float, top: float, measured: SectionResult) -> None:
    """Draw the share of each digit among samples and test images."""
    sets = ((-0.2, "digit_histogram", "samples", MODEL), (0.2, "digit_histogram_test", "test", DATA))
    found = [(shift, measured.arrays[key], name, colour) for shift, key, name, colour in sets if key in measured.arrays]
    if not found:
        return
    sheet.text(left - 50, top - 42, "Share of each digit", **PANEL_TITLE)
    axes = sheet.axes(left, top, PANEL - 50, HEIGHT)
    for shift, shares, name, colour in found:
        axes.bar(np.arange(len(shares)) + shift, 100 * array(shares), 0.38, color=colour, label=name)
    axes.set_xticks(range(10))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8.5)
    if kl := by_name(measured).get("digit-histogram KL"):
        sheet.text(left, top + HEIGHT + 38, f"as a classifier reads them · KL(samples‖test) {spoken(kl)}", **SMALL)


def _draw_distances(sheet: Canvas, left: float, top: float, measured: SectionResult) -> None:
    """Draw how far samples and test images lie from their nearest training images."""
    sets = (("nearest_distances_test", "test", DATA), ("nearest_distances", "samples", MODEL))
    found = [(array(measured.arrays[key]), name, colour) for key, name, colour in sets if key in measured.arrays]
    if not found:
        return
    sheet.text(left, top - 42, "Distance to the nearest training image", **PANEL_TITLE)
    axes = sheet.axes(left, top, PANEL, HEIGHT)
    low, high = (float(end([end(values) for values, _, _ in found])) for end in (np.min, np.max))
    edges = np.linspace(0.9 * low, 1.02 * high, 51)
    for values, name, colour in found:
        heights, _ = np.histogram(values, edges, density=True)
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.15)
        axes.stairs(heights, edges, color=colour, linewidth=1.6, label=name)
        axes.axvline(float(np.median(values)), color=colour, linewidth=1, linestyle=":")
    axes.set(yticks=[], xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="upper right", frameon=False, fontsize=8.5)
    sheet.text(left, top + HEIGHT + 38, "Euclidean over pixels in [0, 1] · dotted: medians", **SMALL)
