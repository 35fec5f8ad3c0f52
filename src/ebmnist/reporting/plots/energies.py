"""Histograms of energies: what the model finds likely, set beside set."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.style import CYAN, CYCLE, DATA, GREY, HEADER, LABEL, MAGENTA, MARGIN, MODEL, SMALL, TEAL

COLOURS = {"train": DATA, "test": CYAN, "validation": TEAL, "samples": MODEL, "replay": MAGENTA, "noise": GREY}
WIDTH, HEIGHT = 1100, 340  # pixels of the plot
KEY = 84  # pixels above it, for the names of the sets
AXIS = 74  # pixels under it, for the numbers and their name
BLOCK = KEY + HEIGHT + AXIS  # pixels of all that
BREAK = 30  # pixels between two stretches of the axis
TOO_NARROW = 8.0  # sets share a stretch of the axis while it is at most so many times as wide as each of them
WHISKER = 6.0  # interquartile ranges beyond the quartiles, past which a value is an outlier


class Spread(NamedTuple):
    """One set's energies and the interval they are drawn on; what lies outside it is counted, not drawn."""

    name: str
    colour: str
    values: npt.NDArray[np.float64]  # (N,)
    low: float
    high: float


def save_energies(
    energies: dict[str, Tensor], path: Path, *, recipe: str, title: str = "Energies: low is likely"
) -> Path:
    """Draw a histogram of each named set of energies, (N,), on one axis that is broken where no set lies.

    All have the same area within a stretch of the axis. Far outliers are counted under a set's name.

    Raises:
        BadInput: no set, an empty one or one not finite, an unknown suffix, or a path that cannot be written.
    """
    with canvas(path, *frame(WIDTH, BLOCK), title, f"recipe {recipe}") as sheet:
        draw_histograms(sheet, energies, HEADER)
    return path


def draw_histograms(sheet: Canvas, energies: dict[str, Tensor], top: float) -> None:
    """Draw what `save_energies` draws on a canvas, from `top` on, `WIDTH` by `BLOCK` pixels.

    Raises:
        BadInput: no set, an empty one or one not finite.
    """
    if not energies:
        raise BadInput("energies: no sets to draw; give at least one, by name")
    spreads = [_spread(name, values, CYCLE[i % len(CYCLE)]) for i, (name, values) in enumerate(energies.items())]
    stretches = _stretches(spreads)
    _name(sheet, spreads, top)
    shares = np.array([2.0 + len(stretch) for stretch in stretches])
    widths = (WIDTH - BREAK * (len(stretches) - 1)) * shares / shares.sum()
    below = top + KEY + HEIGHT + 42
    sheet.text(MARGIN + WIDTH, below, "energy E(x)", **SMALL | {"ha": "right"})
    if len(stretches) > 1:
        sheet.text(MARGIN, below, "the axis skips a gap at //, areas compare on each side of it", **SMALL)
    left = float(MARGIN)
    for i, (stretch, width) in enumerate(zip(stretches, widths.tolist(), strict=True)):
        axes = sheet.axes(left, top + KEY, width, HEIGHT)
        _draw(axes, stretch)
        axes.xaxis.set_major_locator(MaxNLocator(max(2, round(width / 140)), min_n_ticks=2))
        ends = ([0] if i > 0 else []) + ([1] if i < len(stretches) - 1 else [])
        # Slanted strokes where the axis is broken.
        stroke: dict[str, Any] = {
            "marker": [(-0.5, -1), (0.5, 1)],
            "markersize": 9,
            "markeredgewidth": 1.2,
            "color": GREY,
        }
        axes.plot(ends, [0] * len(ends), transform=axes.transAxes, clip_on=False, linestyle="none", **stroke)
        left += width + BREAK


def _spread(name: str, energies: Tensor, colour: str) -> Spread:
    values = energies.detach().double().flatten().cpu().numpy()
    if values.size == 0 or not np.isfinite(values).all():
        raise BadInput(f"energies: {name} has {values.size} values; expected at least one, all finite")
    first, third = np.quantile(values, (0.25, 0.75))
    reach = WHISKER * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    return Spread(name, COLOURS.get(name, colour), values, float(inside.min()), float(inside.max()))


def _stretches(spreads: list[Spread]) -> list[list[Spread]]:
    """Group the sets into stretches of the axis, from low to high.

    A set opens a new stretch if it lies clear of the one before and would leave a set on it too narrow to be seen.
    """
    stretches: list[list[Spread]] = []
    for spread in sorted(spreads, key=lambda s: s.low):
        before = stretches[-1] if stretches else []
        together = [*before, spread]
        span = max(s.high for s in together) - before[0].low if before else 0.0
        clear = bool(before) and spread.low > max(s.high for s in before)
        if before and not (clear and span > TOO_NARROW * min(s.high - s.low for s in together)):
            before.append(spread)
        else:
            stretches.append([spread])
    return stretches


def _draw(axes: Axes, stretch: list[Spread]) -> None:
    """Draw the sets of one stretch, each with the bins its own number of values bears."""
    low, high = min(s.low for s in stretch), max(s.high for s in stretch)
    for spread in stretch:
        if spread.low == spread.high:
            axes.axvline(spread.low, color=spread.colour)
            continue
        # Twice the cube root of N: the Rice rule.
        n_bins = int(np.clip(2 * spread.values.size ** (1 / 3), 6, 60))
        heights, edges = np.histogram(spread.values, n_bins, (spread.low, spread.high), density=True)
        axes.stairs(heights, edges, fill=True, color=spread.colour, alpha=0.13, linewidth=0)
        axes.stairs(heights, edges, color=spread.colour, linewidth=1.6)
    pad = 0.04 * (high - low) or 0.5
    axes.set(xlim=(low - pad, high + pad), yticks=[])
    axes.set_ylim(bottom=0)
    axes.spines["left"].set_visible(False)


def _name(sheet: Canvas, spreads: list[Spread], top: float) -> None:
    """Write the sets' names in their colours above the plot, with what a histogram does not say."""
    column = WIDTH / max(4, len(spreads))
    for i, (name, colour, values, low, high) in enumerate(spreads):
        left = MARGIN + i * column
        beyond = int(((values < low) | (values > high)).sum())
        words = f"median {np.median(values):,.3g}".replace("-", "−")
        words += f"\n{beyond:,} outliers not drawn" if beyond else ""
        sheet.text(left, top, name, **LABEL | {"color": colour, "fontweight": "bold"})
        sheet.text(left, top + 25, words, **SMALL)
