"""Chain length in one picture: the Fréchet distance along chains from noise and from data, and their digits."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, NullLocator

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.lookup import KEY, PANEL_TITLE, array, bar, by_name, spoken, ticks
from ebmnist.reporting.plots.style import DATA, GREY, HEADER, INK, MARGIN, MODEL, MUTED, PAPER, SMALL

STARTS = {"from noise": MODEL, "from data": DATA}
WIDTH, HEIGHT = 560, 440  # pixels of the curves
NUMBERS, BETWEEN = 60, 70  # pixels left of them, and right
CELL, CELLS = 42, 240  # pixels: height of a row of the heat map, and its width
SHARES = LinearSegmentedColormap.from_list("shares", [PAPER, "#9ccbe8", DATA, "#0b2f4a"])


def save_chain_length(
    measured: SectionResult, path: Path, *, recipe: str, title: str = "Fréchet distance against chain length"
) -> Path:
    """Draw the distance after K steps on log axes, the real reference dashed; beside it, the share of each digit.

    Raises:
        BadInput: no curve, an unknown suffix, or a path that cannot be written.
    """
    names = set(measured.arrays)
    starts = [start for start in STARTS if {f"{_key(start)}_n_steps", f"{_key(start)}_distance"} <= names]
    if not starts:
        raise BadInput("chain_length: no curve to draw")
    width = NUMBERS + WIDTH + BETWEEN + len(starts) * (CELLS + 40)
    with canvas(
        path, *frame(width, 66 + HEIGHT + 60), title, " · ".join([f"recipe {recipe}", *_drift(measured)])
    ) as sheet:
        top = HEADER + 66
        axes = sheet.axes(MARGIN + NUMBERS, top, WIDTH, HEIGHT)
        for start in starts:
            _draw_curve(axes, start, measured)
        _finish(axes, measured)
        sheet.text(MARGIN + NUMBERS + WIDTH, top + HEIGHT + 38, "K, Langevin steps", **SMALL | {"ha": "right"})
        left = MARGIN + NUMBERS + WIDTH + BETWEEN
        sheet.text(left, HEADER, "Share of each digit, %", **PANEL_TITLE)
        sheet.text(MARGIN, HEADER, "Distance to test images", **PANEL_TITLE)
        for i, start in enumerate(starts):
            _draw_digits(sheet, left + i * (CELLS + 40), top, start, measured)
    return path


def _key(start: str) -> str:
    return start.replace(" ", "_")


def _drift(measured: SectionResult) -> list[str]:
    """Say how far each start drifts, and where chains were lost."""
    figures = by_name(measured)
    said = [f"drift {start}: ×{spoken(f)}" for start in STARTS if (f := figures.get(f"{start}: drift"))]
    said += [
        f"{start}: lost at {f.value:,.0f} steps" for start in STARTS if (f := figures.get(f"{start}: chains lost at"))
    ]
    if any(f"{start}: best K" in figures for start in STARTS):
        said.append("ring: best K on validation images")
    return said


def _draw_curve(axes: Axes, start: str, measured: SectionResult) -> None:
    """Draw one start's curve with its error bars, and ring the best K."""
    figures, colour = by_name(measured), STARTS[start]
    steps, distance = (array(measured.arrays[f"{_key(start)}_{name}"]) for name in ("n_steps", "distance"))
    named = [figures.get(f"{start}: distance at K = {k:.0f}") for k in steps.tolist()]
    errors = np.array([np.nan if f is None else bar(f) for f in named])
    # A bar that reaches below zero has no lower end on a log axis.
    lower = np.minimum(errors, 0.9 * distance)
    axes.errorbar(
        steps, distance, (lower, errors), color=colour, marker="o", markersize=5, capsize=3, elinewidth=1.2, label=start
    )
    if (best := figures.get(f"{start}: best K")) and best.value in steps:
        at = distance[steps == best.value]
        axes.plot(
            best.value, at[0], "o", markersize=13, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.4
        )
    if lost := figures.get(f"{start}: chains lost at"):
        axes.axvline(lost.value, color=colour, linestyle=":", linewidth=1.2)


def _finish(axes: Axes, measured: SectionResult) -> None:
    """Draw the real reference, and scale and name the axes."""
    real_reference: Metric | None = by_name(measured).get("real reference, training images: Fréchet distance")
    if real_reference is not None:
        axes.axhline(real_reference.value, color=GREY, linestyle="--", linewidth=1.4, label="training images")
        if real_reference.error is not None:
            axes.axhspan(
                max(real_reference.value - real_reference.error, real_reference.value / 10),
                real_reference.value + real_reference.error,
                color=GREY,
                alpha=0.12,
                linewidth=0,
            )
    axes.set(xscale="log", yscale="log")
    steps = np.unique(np.concatenate([array(x) for name, x in measured.arrays.items() if name.endswith("_n_steps")]))
    room = np.append(steps[1:] >= 1.5 * steps[:-1], True)  # for a label, before the next
    axes.set_xticks(steps, [label if fits else "" for label, fits in zip(ticks(steps), room, strict=True)])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    factors = (1, 2, 5) if high > 8 * low else (1, 1.5, 2, 3, 5, 7)
    wanted = [f * 10.0**p for p in range(-3, 7) for f in factors]
    axes.set_yticks([y for y in wanted if low <= y <= high])
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, **KEY)


def _draw_digits(sheet: Canvas, left: float, top: float, start: str, measured: SectionResult) -> None:
    """Draw the share of each digit after K steps, and that of the test images beside."""
    shares = measured.arrays.get(f"{_key(start)}_digit_histogram")
    if shares is None:
        return
    test = measured.arrays.get("digit_histogram_test")
    columns = [*array(shares)] + ([] if test is None else [array(test)])
    names = ticks(array(measured.arrays[f"{_key(start)}_n_steps"])) + ([] if test is None else ["test"])
    axes = sheet.axes(left, top, CELLS, 10 * CELL)
    axes.pcolormesh(100 * np.stack(columns, axis=1), cmap=SHARES, vmin=0, vmax=30, edgecolors=PAPER, linewidth=1)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_yticks(np.arange(10) + 0.5, [str(i) for i in range(10)])
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    sheet.text(left, top - 32, start, **SMALL | {"color": STARTS[start], "fontweight": "bold"})
    for i, column in enumerate(columns):
        for digit, share in enumerate(column.tolist()):
            axes.text(
                i + 0.5,
                digit + 0.5,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=6.5,
                color=PAPER if share > 0.13 else INK if share > 0 else MUTED,
            )
