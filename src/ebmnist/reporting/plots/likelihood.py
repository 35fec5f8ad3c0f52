"""Likelihood in one picture: the bracket of log p(x), beside what Gaussians reach."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.plots.canvas import canvas, frame
from ebmnist.reporting.plots.lookup import KEY, PANEL_TITLE, bar, beside, by_name, strip, strip_size
from ebmnist.reporting.plots.style import DATA, GREY, HEADER, LABEL, MARGIN, MODEL, RED, SMALL

SUFFIX = ": log-likelihood"
SIDE, WIDTH, ROW = 200, 900, 46  # pixels left of the plot, of the plot, and of a row
N_SHOWN, SCALE = 15, 2


def save_likelihood(measured: SectionResult, path: Path, *, recipe: str, title: str = "Test log-likelihood") -> Path:
    """Draw both ends of the bracket on one line, the baselines above, and images from either side.

    A bracket whose ends cross is drawn in red: it says nothing.

    Raises:
        BadInput: neither an end of the bracket nor a baseline, an unknown suffix, or a path that cannot be written.
    """
    figures = by_name(measured)
    baselines = {name.removesuffix(SUFFIX): f for name, f in figures.items() if name.endswith(SUFFIX)}
    ends = {side: f for side in ("least", "most") if (f := figures.get(f"log-likelihood at {side}"))}
    if not baselines and not ends:
        raise BadInput("likelihood: neither a bracket nor a baseline to draw")
    rows = dict(sorted(baselines.items(), key=lambda row: row[1].value))
    height = ROW * (len(rows) + 1)
    shown = [(name, key, colour) for name, key, colour in IMAGES if key in measured.arrays]
    _, strip_height = strip_size(1, SCALE)
    below = len(shown) * (strip_height + 8)
    width = figures.get("bracket width")
    said = " · ".join(filter(None, (f"recipe {recipe}", width.note if width else "")))
    with canvas(path, *frame(SIDE + WIDTH, 40 + height + 70 + below), title, said) as sheet:
        axes = sheet.axes(MARGIN + SIDE, HEADER + 40, WIDTH, height)
        _draw(axes, rows, ends)
        for i, name in enumerate([*rows, "this energy"]):
            look = {"va": "center", "color": MODEL if i == len(rows) else GREY}
            sheet.text(MARGIN, HEADER + 40 + ROW * (i + 0.5), name, **LABEL | look)
        sheet.text(MARGIN, HEADER, "Mean log p(x) of test images", **PANEL_TITLE)
        sheet.text(MARGIN + SIDE + WIDTH, HEADER + 40 + height + 38, "nats", **SMALL | {"ha": "right"})
        for i, (name, key, colour) in enumerate(shown):
            top = HEADER + 40 + height + 70 + i * (strip_height + 8)
            beside(sheet, MARGIN, top + strip_height / 2, name, colour=colour)
            strip(sheet, measured.arrays[key][:N_SHOWN].float(), MARGIN + SIDE, top, SCALE)
    return path


IMAGES = (("annealed from\na Gaussian", "annealed", MODEL), ("annealed back\nfrom here", "starts", DATA))


def _draw(axes: Axes, baselines: dict[str, Metric], ends: dict[str, Metric]) -> None:
    """Draw one row for each baseline, and the bracket on the last."""
    for i, figure in enumerate(baselines.values()):
        axes.errorbar(figure.value, i, xerr=bar(figure), color=GREY, marker="o", markersize=7, capsize=3)
    last = len(baselines)
    crossed = len(ends) == 2 and ends["least"].value > ends["most"].value
    colour = RED if crossed else MODEL
    if len(ends) == 2:
        axes.plot([ends["least"].value, ends["most"].value], [last, last], color=colour, linewidth=7, alpha=0.3)
    for side, marker, name in (("least", ">", "at least (reverse AIS)"), ("most", "<", "at most (AIS)")):
        if end := ends.get(side):
            label = name + (", crossed" if crossed else "")
            axes.errorbar(
                end.value,
                last,
                xerr=bar(end),
                color=colour,
                marker=marker,
                markersize=9,
                capsize=3,
                linestyle="none",
                label=label,
            )
    if ends:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, **KEY)
    for row in range(last + 1):
        axes.axhline(row, color=GREY, linewidth=0.6, alpha=0.35, zorder=0)
    axes.set(ylim=(last + 0.5, -0.5), yticks=[])
    axes.margins(x=0.05)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}".replace("-", "−")))
