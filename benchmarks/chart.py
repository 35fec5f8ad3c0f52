"""One picture per benchmark: horizontal bars for tables, lines for sweeps, in the project's style."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.style import CYCLE, DATA, HEADER, INK, LABEL, MARGIN, MODEL, MUTED, SMALL
from report import Sweep, Table, figure, times

NAMES, BARS, FIGURES = 370, 470, 300  # pixels for the names, the bars, and the figures right of them
ROW, LINES = 38, 300  # pixels a bar takes, and the height of a sweep's axes
TITLE_ROOM, GAP, FOOT = 44, 34, 52  # pixels over a part, between two, and for a sweep's axis


def save_chart(parts: Sequence[Table | Sweep], path: Path, *, title: str, subtitle: str) -> None:
    """Draw the parts one under another and write the picture to `path`."""
    heights = [_height(part) for part in parts]
    content = sum(heights) + GAP * (len(parts) - 1)
    with canvas(path, *frame(NAMES + BARS + FIGURES, content), title, subtitle) as sheet:
        top = HEADER
        for part, height in zip(parts, heights, strict=True):
            sheet.text(MARGIN, top, part.title, **LABEL | {"fontweight": "bold"})
            if isinstance(part, Table):
                _bars(sheet, part, top + TITLE_ROOM)
            else:
                _lines(sheet, part, top + TITLE_ROOM)
            top += height + GAP


def _height(part: Table | Sweep) -> int:
    return TITLE_ROOM + (ROW * len(part.rounds) if isinstance(part, Table) else LINES + FOOT)


def _bars(sheet: Canvas, table: Table, top: float) -> None:
    """A bar from 0 to the median, a whisker over the range, and the figures beside it."""
    axes = sheet.axes(MARGIN + NAMES, top, BARS, ROW * len(table.rounds))
    for i, (name, values) in enumerate(table.rounds.items()):
        colour = MODEL if name.startswith("ebmnist") else DATA
        axes.barh(i, median(values), height=0.62, color=colour)
        axes.hlines(i, min(values), max(values), color=INK, linewidth=1, alpha=0.6)
        place = top + ROW * (i + 0.5)
        sheet.text(MARGIN + NAMES - 12, place, name, **SMALL | {"color": INK, "ha": "right", "va": "center"})
        words = f"{figure(median(values))} {table.unit}"
        if table.ratio is not None and i > 0:
            words += f"   {times(median(table.ratios(name)))} {table.ratio.removeprefix('times ')}"
        sheet.text(MARGIN + NAMES + BARS + 14, place, words, **SMALL | {"color": colour, "va": "center"})
    axes.set_ylim(len(table.rounds) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set(yticks=[], xticks=[])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _lines(sheet: Canvas, sweep: Sweep, top: float) -> None:
    """One line per contestant on logarithmic axes, with the range as a band; names at the top right."""
    axes = sheet.axes(MARGIN + 80, top, NAMES + BARS - 80, LINES)
    for i, (name, line) in enumerate(sweep.lines.items()):
        place = 0 if i == 0 else i + 1
        colour = MODEL if name.startswith("ebmnist") else CYCLE[place % len(CYCLE)]
        xs, medians = list(line), [median(values) for values in line.values()]
        axes.plot(xs, medians, "o-" if place < len(CYCLE) else "s--", color=colour, markersize=4)
        axes.fill_between(xs, *zip(*((min(v), max(v)) for v in line.values()), strict=True), color=colour, alpha=0.15)
        look = SMALL | {"color": colour, "fontweight": "bold"}
        sheet.text(MARGIN + NAMES + BARS + 14, top + 4 + 26 * i, name, **look)
    axes.set(xscale="log", yscale="log")
    first, longest = next(iter(sweep.lines.values())), max(sweep.lines.values(), key=len)
    _ticks(axes, sorted({*first, *longest}))
    axes.set_xlabel(sweep.x, loc="right")
    sheet.text(MARGIN + NAMES + BARS + 14, top + LINES - 20, sweep.unit, **SMALL | {"color": MUTED})


def _ticks(axes: Axes, xs: list[int]) -> None:
    axes.set_xticks(xs, [f"{x:,}" for x in xs])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
