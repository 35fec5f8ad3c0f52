"""Mixing in one picture: how fast chains forget, whether they agree, and how far an exact sampler would step."""

from pathlib import Path

from matplotlib.ticker import FuncFormatter, NullLocator

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import SectionResult
from ebmnist.evaluation.mixing import FUNCTIONALS
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.lookup import KEY, PANEL_TITLE, array, bar, by_name, spoken
from ebmnist.reporting.plots.style import BLUE, GREY, HEADER, MAGENTA, MARGIN, ORANGE, SMALL, TEAL

COLOURS = dict(zip(FUNCTIONALS, (ORANGE, TEAL, BLUE, MAGENTA), strict=True))
WIDTH, HEIGHT = 600, 430  # pixels of the autocorrelation
NUMBERS, BETWEEN = 60, 220  # pixels left of it, and right, for the names of the functionals
SMALLER, UPPER, LOWER = 380, 120, 160  # pixels of the two plots on the right


def save_mixing(measured: SectionResult, path: Path, *, recipe: str, title: str = "Do the chains mix?") -> Path:
    """Draw the autocorrelation of each functional, R̂ of each group at worst, and the acceptance of MALA steps.

    Raises:
        BadInput: no autocorrelation, an unknown suffix, or a path that cannot be written.
    """
    if "autocorrelation" not in measured.arrays or "lags" not in measured.arrays:
        raise BadInput("mixing: no autocorrelation to draw")
    changes = by_name(measured).get("label changes per 100 steps")
    said = f" · label changes per 100 steps: {spoken(changes)}" if changes else ""
    with canvas(
        path,
        *frame(NUMBERS + WIDTH + BETWEEN + SMALLER, 66 + HEIGHT + 60),
        title,
        f"recipe {recipe} · bold: the slowest of its group{said}",
    ) as sheet:
        _draw_autocorrelation(sheet, MARGIN + NUMBERS, HEADER + 66, measured)
        left = MARGIN + NUMBERS + WIDTH + BETWEEN
        _draw_rhat(sheet, left, HEADER + 66, measured)
        _draw_acceptance(sheet, left, HEADER + 66 + HEIGHT - LOWER, measured)
    return path


def _draw_autocorrelation(sheet: Canvas, left: float, top: float, measured: SectionResult) -> None:
    """Draw one thin line for each functional, a bold one for the slowest of its group."""
    sheet.text(left - NUMBERS, top - 66, "Autocorrelation", **PANEL_TITLE)
    axes = sheet.axes(left, top, WIDTH, HEIGHT)
    lags, rho = array(measured.arrays["lags"]), array(measured.arrays["autocorrelation"])
    for group, columns in FUNCTIONALS.items():
        lines = rho[columns]
        slowest = int(lines.mean(1).argmax())
        for i, line in enumerate(lines):
            if i != slowest:
                axes.plot(lags, line, color=COLOURS[group], linewidth=0.7, alpha=0.45)
        axes.plot(lags, lines[slowest], color=COLOURS[group], linewidth=2.2, label=group, zorder=3)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set(xlim=(0, lags[-1]), ylim=(min(-0.1, 1.05 * float(rho.min())), 1.02))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.1f}".replace("-", "−")))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, **KEY | {"columnspacing": 1.2, "handlelength": 1.2})
    sheet.text(left + WIDTH, top + HEIGHT + 38, "lag, Langevin steps", **SMALL | {"ha": "right"})


def _draw_rhat(sheet: Canvas, left: float, top: float, measured: SectionResult) -> None:
    """Draw R̂ of each group with its error, the effective sample size at its right."""
    figures = by_name(measured)
    found = [(group, figures[f"{group}: R̂"]) for group in FUNCTIONALS if f"{group}: R̂" in figures]
    if not found:
        return
    sheet.text(left - 190, top - 66, "R̂, worst of each group", **PANEL_TITLE)
    axes = sheet.axes(left, top, SMALLER - 60, UPPER)
    for i, (group, figure) in enumerate(found):
        # 1 is perfect, so what counts is how far above it R̂ is.
        axes.plot([1, figure.value], [i, i], color=COLOURS[group], linewidth=1.2, alpha=0.5)
        axes.errorbar(figure.value, i, xerr=bar(figure), color=COLOURS[group], marker="o", markersize=6, capsize=3)
        if ess := figures.get(f"{group}: bulk ESS"):
            look = {"transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(1.04, i, f"{ess.value:,.0f}", **SMALL | look)
    axes.axvline(1.01, color=GREY, linestyle="--", linewidth=1.2)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(found)), [group for group, _ in found])
    axes.set_xlim(left=1 - 0.02 * max(0.05, axes.get_xlim()[1] - 1))
    axes.set_ylim(len(found) - 0.5, -0.5)
    sheet.text(left, top + UPPER + 38, "dashed: 1.01 · right: bulk ESS", **SMALL)


def _draw_acceptance(sheet: Canvas, left: float, top: float, measured: SectionResult) -> None:
    """Draw the share of MALA proposals accepted against their step size."""
    if "mala_scales" not in measured.arrays or "mala_acceptance" not in measured.arrays:
        return
    scales, shares = array(measured.arrays["mala_scales"]), array(measured.arrays["mala_acceptance"])
    sheet.text(left - 190, top - 40, "Accepted by MALA", **PANEL_TITLE)
    axes = sheet.axes(left - 135, top, SMALLER + 135, LOWER)
    axes.axhline(50, color=GREY, linestyle="--", linewidth=1.2)
    axes.plot(scales, 100 * shares, color=BLUE, marker="o", markersize=5)
    axes.set(xscale="log", ylim=(-4, 104), yticks=[0, 50, 100])
    axes.set_xticks(scales, [f"1/{1 / s:.0f}" if s < 1 else "1" for s in scales.tolist()])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.invert_xaxis()
    sheet.text(left + SMALLER, top + LOWER + 38, "step size / the kernel's own", **SMALL | {"ha": "right"})
