"""Outliers in one picture: how well each score ranks each kind above the test digits."""

from pathlib import Path

from matplotlib.axes import Axes

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.lookup import KEY, bar, by_name, strip
from ebmnist.reporting.plots.style import BLUE, GREY, HEADER, LABEL, MAGENTA, MARGIN, ORANGE, SMALL, TEAL

SCORES = {  # colour, marker, size
    "Mahalanobis": (GREY, "|", 11),
    "PCA": (GREY, "x", 6),
    "5-NN": (GREY, "+", 8),
    "|E − median|": (TEAL, "D", 6),
    "‖∇E‖": (MAGENTA, "^", 7.5),
    "E": (ORANGE, "o", 9),
    "combined": (BLUE, "*", 11),
}
ROW = 44  # pixels from one kind of outlier to the next
SIDE, N_SHOWN = 340, 3  # pixels left of the plot, for the names and images of the kinds
WIDTH = 860  # pixels of the plot


def save_ood(
    measured: SectionResult, path: Path, *, recipe: str, title: str = "Outliers told from test digits"
) -> Path:
    """Draw the AUROC of each score on each kind of outlier, sorted by that of E; the baselines in grey.

    Raises:
        BadInput: no AUROC, an unknown suffix, or a path that cannot be written.
    """
    table = _table(measured)
    if not table:
        raise BadInput("ood: no AUROC to draw")
    height = ROW * len(table)
    words = f"recipe {recipe} · AUROC: the chance that an outlier scores above a digit · sorted by that of E"
    with canvas(path, *frame(SIDE + WIDTH, 40 + height + 60), title, words) as sheet:
        top = HEADER + 40
        axes = sheet.axes(MARGIN + SIDE, top, WIDTH, height)
        for i, (name, scores) in enumerate(table.items()):
            _draw_row(axes, i, scores)
            _name_row(sheet, top + ROW * (i + 0.5), name, measured)
        axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
        axes.set(xlim=(-0.015, 1.015), ylim=(len(table) - 0.5, -0.5), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[])
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        for score, (colour, marker, size) in reversed(SCORES.items()):
            axes.plot([], [], marker, color=colour, markersize=size, label=score)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(SCORES), **KEY | {"columnspacing": 0.8})
        sheet.text(MARGIN + SIDE + WIDTH, top + height + 38, "AUROC", **SMALL | {"ha": "right"})
    return path


def _table(measured: SectionResult) -> dict[str, dict[str, Metric]]:
    """Return the AUROC of each kind of outlier by score, the kind that E ranks worst first."""
    table: dict[str, dict[str, Metric]] = {}
    for name, figure in by_name(measured).items():
        score, separator, rest = name.partition(": ")
        if score in SCORES and separator and rest.endswith(" AUROC"):
            table.setdefault(rest.removesuffix(" AUROC"), {})[score] = figure
    return dict(sorted(table.items(), key=lambda row: row[1]["E"].value if "E" in row[1] else 2.0))


def _draw_row(axes: Axes, row: int, scores: dict[str, Metric]) -> None:
    """Draw one kind's scores on one line."""
    axes.axhline(row, color=GREY, linewidth=0.6, alpha=0.35, zorder=0)
    for order, (score, (colour, marker, size)) in enumerate(SCORES.items()):
        if figure := scores.get(score):
            axes.errorbar(
                figure.value,
                row,
                xerr=bar(figure),
                marker=marker,
                color=colour,
                markersize=size,
                markeredgecolor="white" if marker in "Do^*" else colour,
                markeredgewidth=0.8 if marker in "Do^*" else 1.6,
                elinewidth=1,
                zorder=3 + order,
                clip_on=False,
            )


def _name_row(sheet: Canvas, middle: float, name: str, measured: SectionResult) -> None:
    """Write a kind's name, and show its first images."""
    images = measured.arrays.get(f"images: {name}")
    if images is not None:
        strip(sheet, images[:N_SHOWN], MARGIN, middle - 16, 1)
    sheet.text(MARGIN + 108, middle, name.replace("_", " "), **LABEL | {"va": "center"})
