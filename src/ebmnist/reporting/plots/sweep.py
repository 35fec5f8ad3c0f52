"""A sweep in one picture: for each point of its grid, the distance of each seed, their mean and standard deviation."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from ebmnist.errors import BadInput
from ebmnist.reporting.plots.canvas import canvas, frame
from ebmnist.reporting.plots.style import FAINT, HEADER, INK, LABEL, MARGIN, MODEL, RED, SMALL

ROW, NAMES, WIDTH = 40, 430, 640  # pixels: height of a point's row, room for its name, width of the axes
MOST = 40  # points shown


class Dots(NamedTuple):
    """One point of a grid."""

    name: str
    distances: Sequence[float]  # one a seed
    n_failed: int


def save_sweep(points: Sequence[Dots], path: Path, *, recipe: str, title: str = "Sweep") -> Path:
    """Draw a row for each point, the lowest mean on top; at most 40, and those without a distance last.

    Raises:
        BadInput: no point has a distance, an unknown suffix, or a path that cannot be written.
    """
    if not any(point.distances for point in points):
        raise BadInput("sweep: no distance to draw")
    best = sorted(points, key=lambda p: (not p.distances, mean(p.distances or [0.0])))[:MOST]
    left_out = f" · best {MOST} of {len(points)} points" if len(points) > MOST else ""
    how = f"recipe {recipe} · dot: a seed, ring: their mean, line: standard deviation{left_out}"
    with canvas(path, *frame(NAMES + WIDTH, len(best) * ROW + 60), title, how) as sheet:
        axes = sheet.axes(MARGIN + NAMES, HEADER, WIDTH, len(best) * ROW)
        for i, point in enumerate(best):
            axes.axhline(i, color=FAINT, linewidth=0.8, zorder=0)
            middle = HEADER + ROW * (i + 0.5)
            sheet.text(MARGIN + NAMES - 14, middle, point.name, **LABEL | {"ha": "right", "va": "center"})
            if len(point.distances) > 1:
                axes.errorbar(
                    mean(point.distances),
                    i,
                    xerr=stdev(point.distances),
                    fmt="o",
                    markersize=11,
                    markerfacecolor="none",
                    color=INK,
                    elinewidth=1.2,
                    capsize=3,
                )
            axes.plot(point.distances, [i] * len(point.distances), "o", color=MODEL, markersize=4.5, alpha=0.9)
            if point.n_failed:
                at, words = 1.0 if point.distances else 0.5, f"{point.n_failed} failed"
                look = SMALL | {"ha": "right" if point.distances else "center", "va": "center", "color": RED}
                axes.text(at, i - 0.28, words, transform=axes.get_yaxis_transform(), **look)
        axes.set_ylim(len(best) - 0.5, -0.5)
        axes.set_yticks([])
        axes.grid(visible=True, axis="x")
        words = "Fréchet distance to validation images, lower is better"
        sheet.text(MARGIN + NAMES + WIDTH, HEADER + len(best) * ROW + 36, words, **SMALL | {"ha": "right"})
    return path
