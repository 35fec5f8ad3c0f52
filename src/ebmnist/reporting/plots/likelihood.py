"""Likelihood in one picture: bits a pixel, beside simpler models, and how they depend on where the decoder begins."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.plots.canvas import canvas, frame
from ebmnist.reporting.plots.lookup import KEY, PANEL_TITLE, array, bar, by_name
from ebmnist.reporting.plots.style import GREY, HEADER, LABEL, MARGIN, MODEL, SMALL

PREFIX = "bits per dimension, "
UNIFORM = PREFIX + "uniform"  # 8, which would leave no room for the others
SIDE, WIDTH, ROW = 290, 420, 46  # pixels left of the plot, of the plot, and of a row
RIGHT, GAP = 330, 70  # of the curves, and between the two


def save_likelihood(measured: SectionResult, path: Path, *, recipe: str, title: str = "Bits per pixel") -> Path:
    """Draw a row for each figure in bits, the least first, and the validation bounds against σ_min.

    Raises:
        BadInput: no figure in bits, an unknown suffix, or a path that cannot be written.
    """
    figures = {n.removeprefix(PREFIX): f for n, f in by_name(measured).items() if n.startswith(PREFIX) and n != UNIFORM}
    if not figures:
        raise BadInput("likelihood: no figure in bits to draw")
    mine = {f.name for f in measured.metrics}
    rows = dict(sorted(figures.items(), key=lambda row: row[1].value))
    height = max(ROW * len(rows), 200)
    curved = "sigma_min" in measured.arrays
    width = SIDE + WIDTH + (GAP + RIGHT if curved else 0)
    with canvas(path, *frame(width, 40 + height + 60), title, f"recipe {recipe}") as sheet:
        top = HEADER + 40
        _draw_rows(sheet.axes(MARGIN + SIDE, top, WIDTH, height), list(rows.values()), mine)
        for i, (name, figure) in enumerate(rows.items()):
            look = {"va": "center", "color": MODEL if figure.name in mine else GREY}
            sheet.text(MARGIN, top + height * (i + 0.5) / len(rows), name, **LABEL | look)
        sheet.text(MARGIN, HEADER, "Test images, less is better", **PANEL_TITLE)
        sheet.text(MARGIN + SIDE + WIDTH, top + height + 36, "bits per pixel", **SMALL | {"ha": "right"})
        if curved:
            left = MARGIN + SIDE + WIDTH + GAP
            _draw_curves(sheet.axes(left, top, RIGHT, height), measured)
            sheet.text(left, HEADER, "Validation images", **PANEL_TITLE)
            sheet.text(left + RIGHT, top + height + 36, "σ where the decoder begins", **SMALL | {"ha": "right"})
    return path


def _draw_rows(axes: Axes, figures: list[Metric], mine: set[str]) -> None:
    """Draw one point for each figure."""
    for i, figure in enumerate(figures):
        colour = MODEL if figure.name in mine else GREY
        axes.errorbar(figure.value, i, xerr=bar(figure), color=colour, marker="o", markersize=7, capsize=3)
        axes.axhline(i, color=GREY, linewidth=0.6, alpha=0.35, zorder=0)
    axes.set(ylim=(len(figures) - 0.5, -0.5), yticks=[])
    axes.margins(x=0.08)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _draw_curves(axes: Axes, measured: SectionResult) -> None:
    """Draw the bound against σ_min, one curve for each denoiser."""
    sigmas = array(measured.arrays["sigma_min"])
    for name, dashes in (("calibrated", "-"), ("uncalibrated", "--"), ("probability flow", ":")):
        if (curve := measured.arrays.get(f"validation, {name}")) is not None:
            axes.plot(sigmas, array(curve), dashes, color=MODEL, marker="o", markersize=4, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks([s for s in (0.05, 0.1, 0.2, 0.4) if sigmas.min() <= s <= sigmas.max()])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.legend(loc="best", **KEY)
