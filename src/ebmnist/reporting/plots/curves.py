"""Training curves: one run in seven panels, and an eighth for what the guard did."""

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import style
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.smoothing import Array, limits, running_median, to_segments
from ebmnist.reporting.plots.style import DATA, HEADER, LABEL, MARGIN, MODEL, SMALL
from ebmnist.reporting.records import JournalEntry
from ebmnist.training.base import Action, StepRecord

PANEL_WIDTH, PANEL_HEIGHT = 500, 190  # pixels
NUMBERS, BETWEEN, PITCH = 66, 30, 296  # pixels left of a panel, between two, and from one row to the next
N_QUOTED = 4  # of the guard's last interventions, in its own words


class Series(NamedTuple):
    """One line of a panel."""

    name: str
    read: Callable[[StepRecord], float]
    colour: str = DATA


class Panel(NamedTuple):
    """One quantity over the run."""

    title: str
    series: tuple[Series, ...]
    log: bool = False  # what is not positive is left out
    exact: bool = False  # no smoothing, no trimming


PANELS = (
    Panel(
        "Energy",
        (Series("data", lambda r: r.energy_pos, DATA), Series("chains", lambda r: r.energy_neg, MODEL)),
    ),
    Panel("Energy gap, chains − data", (Series("", lambda r: r.gap),)),
    Panel("Weight-gradient norm", (Series("", lambda r: r.weight_grad_norm),), log=True),
    Panel(
        "Learning rate, energy L2",
        (Series("lr", lambda r: r.lr, DATA), Series("L2", lambda r: r.energy_l2, MODEL)),
        log=True,
        exact=True,
    ),
    Panel("Share of Langevin gradient clipped", (Series("", lambda r: r.share_clipped),)),
    Panel("Displacement of chains", (Series("", lambda r: r.displacement),)),
    Panel("Diversity of chains (data = 1)", (Series("", lambda r: r.diversity),)),
)
ACTIONS = {  # colour and short name, mildest first
    Action.WATCHED: (style.GREY, "watched"),
    Action.LR_RESTORED: (style.TEAL, "restored"),
    Action.LR_LOWERED: (style.ORANGE, "lowered"),
    Action.REINITIALISED: (style.CYAN, "chains replaced"),
    Action.ROLLED_BACK: (style.MAGENTA, "rolled back"),
}


def save_curves(
    records: Sequence[StepRecord],
    events: Sequence[JournalEntry],
    path: Path,
    *,
    recipe: str,
    title: str = "Training",
) -> Path:
    """Draw a run's records in the order they were made, and mark the guard's interventions.

    Bold: running median of the finite values, within N/60 updates; thin: every update. An update that is not
    finite leaves a red tick at the foot of its panel.

    Raises:
        BadInput: no records, an unknown suffix, or a path that cannot be written.
    """
    if not records:
        raise BadInput(f"{path}: no updates to draw; train for at least one")
    column = NUMBERS + PANEL_WIDTH + BETWEEN
    size = frame(2 * column - BETWEEN, 4 * PITCH - 22)
    words = f"recipe {recipe} · {records[-1].step:,} updates · bold: running median, thin: every update"
    step = np.array([record.step for record in records], dtype=np.float64)
    interventions = [event for event in events if event.action in ACTIONS]
    with canvas(path, *size, title, words) as sheet:
        for i, panel in enumerate(PANELS):
            left, top = MARGIN + NUMBERS + (i % 2) * column, HEADER + 38 + (i // 2) * PITCH
            axes = sheet.axes(left, top, PANEL_WIDTH, PANEL_HEIGHT)
            _draw(axes, panel, step, records)
            _mark(axes, interventions)
            if i >= len(PANELS) - 2:
                axes.set_xlabel("update", loc="right")
        _tell(sheet, MARGIN + NUMBERS + column, HEADER + 8 + 3 * PITCH, interventions)
    return path


def _draw(axes: Axes, panel: Panel, step: Array, records: Sequence[StepRecord]) -> None:
    """Draw one panel: thin lines, medians over them, ticks where nothing finite is, names at the top right."""
    values = [np.array([s.read(record) for record in records], dtype=np.float64) for s in panel.series]
    low, high = _scale(axes, panel, np.concatenate(values))
    for series, value in zip(panel.series, values, strict=True):
        broken = step[~np.isfinite(value)]
        # Far out of sight is drawn just out of sight, and what a log scale cannot show is not drawn.
        seen = np.where(np.isfinite(value) & ((value > 0) | (not panel.log)), np.clip(value, low, high), np.nan)
        for part_step, part in to_segments(step, seen):
            if panel.exact:
                axes.plot(part_step, part, color=series.colour)
                continue
            axes.plot(part_step, part, color=series.colour, linewidth=0.6, alpha=0.3)
            axes.plot(*running_median(part_step, part, len(step) // 60), color=series.colour, zorder=3)
        foot = axes.get_xaxis_transform()
        axes.plot(broken, 0 * broken, "|", color=style.RED, markersize=8, transform=foot, clip_on=False)
    place = 0.0
    for series in reversed(panel.series):
        look = {"color": series.colour, "fontweight": "bold", "ha": "right", "va": "baseline"}
        axes.annotate(series.name, (1, 1), (place, 9), "axes fraction", "offset points", **SMALL | look)
        place -= 6.2 * len(series.name) + 10  # points, about its width
    axes.set_title(panel.title)
    axes.set_xlim(min(step) - 1, max(step) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))


def _scale(axes: Axes, panel: Panel, values: Array) -> tuple[float, float]:
    """Scale the vertical axis to the values; return the bounds, out of sight, beyond which none need be drawn."""
    if panel.log:
        values = np.log10(values[np.isfinite(values) & (values > 0)])
    if not np.isfinite(values).any():
        axes.set(ylim=(0, 1), yticks=[])
        axes.text(0.5, 0.5, "nothing finite to draw", ha="center", transform=axes.transAxes, **SMALL)
        return -np.inf, np.inf
    if panel.log:
        axes.set_yscale("log")
        decades = np.ptp(values)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.7 else (1,), numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    found = limits(values, 0.0 if panel.exact else 0.01)
    if found is None:
        return -np.inf, np.inf
    low, high = found
    bounds = np.array([low, high, 2 * low - high, 2 * high - low])
    low, high, lowest, highest = (10**bounds if panel.log else bounds).tolist()
    axes.set_ylim(low, high)
    return lowest, highest


def _mark(axes: Axes, events: Sequence[JournalEntry]) -> None:
    """Draw a vertical line for each event, fainter where there are many of a kind."""
    counts = Counter(event.action for event in events)
    for action, (colour, _) in ACTIONS.items():
        steps = [event.step for event in events if event.action is action]
        alpha = min(0.75, max(0.15, 8 / max(1, counts[action])))
        foot = axes.get_xaxis_transform()
        axes.vlines(steps, 0, 1, colors=colour, linewidth=1, alpha=alpha, transform=foot, zorder=1.5)


def _tell(sheet: Canvas, left: float, top: float, events: Sequence[JournalEntry]) -> None:
    """Write the legend of the guard's actions, and quote its last interventions."""
    sheet.text(left, top, "What the guard did", **LABEL | {"fontweight": "bold"})
    counts = Counter(event.action for event in events)
    if not events:
        sheet.text(left, top + 36, "no update called for anything", **SMALL)
    for i, action in enumerate(action for action in ACTIONS if counts[action]):
        colour, name = ACTIONS[action]
        place = (left + 250 * (i % 2), top + 36 + 26 * (i // 2))
        sheet.text(*place, "|", **SMALL | {"color": colour, "fontweight": "bold"})
        sheet.text(place[0] + 14, place[1], f"{name} ×{counts[action]:,}", **SMALL)
    gravest = [event for event in events if event.action not in (Action.WATCHED, Action.LR_RESTORED)]
    for i, event in enumerate(gravest[-N_QUOTED:]):
        below = top + 126 + 26 * i
        words = textwrap.shorten("; ".join(event.signals) or event.action.value, 46, placeholder=" …")
        look = {"color": ACTIONS[event.action][0], "ha": "right"}
        sheet.text(left + 62, below, f"{event.step:,}", **SMALL | look)
        sheet.text(left + 74, below, words, **SMALL)
