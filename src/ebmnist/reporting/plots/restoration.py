"""Restoration in pictures: PSNR of denoised images against the noise, and what fills hidden pixels."""

import re
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.lookup import KEY, PANEL_TITLE, bar, beside, by_name, spoken, strip, strip_size
from ebmnist.reporting.plots.style import CYAN, GREY, HEADER, INK, MAGENTA, MARGIN, MUTED, ORANGE, SMALL, TEAL

METHODS = {  # colour, line
    "noisy": (GREY, ":"),
    "Wiener": (MUTED, "--"),
    "autoencoder": (INK, "--"),
    "descent": (ORANGE, "-"),
    "posterior mean": (MAGENTA, "-"),
    "Tweedie": (TEAL, "-"),
    "iterated": (ORANGE, "-"),  # in the place of descent
}
FILLS = {  # row: colour
    "clean": MUTED,
    "masked": MUTED,
    "one chain": ORANGE,
    "chains averaged": MAGENTA,
    "linear regression": INK,
}
RESTORED = {  # the same, of what was measured by an operator
    "clean": MUTED,
    "measured": MUTED,
    "one sample": ORANGE,
    "samples averaged": MAGENTA,
    "spread": TEAL,
    "linear regression": INK,
}
SPARE = CYAN  # of a method that is not named above
NAMED = re.compile(r"(?P<method>.+), σ=(?P<sigma>[\d.e+-]+): PSNR")
N_COLUMNS, SCALE = 8, 2
SIDE = 220  # pixels left of the images, for the names of the rows
WIDTH, NUMBERS, BETWEEN = 440, 60, 70  # pixels of the plot of PSNR, left of it, and right
N_FILLED, GAP = 5, 26  # images for each mask, and pixels between two masks


def save_psnr(measured: SectionResult, path: Path, *, recipe: str, title: str = "Denoising") -> Path:
    """Draw PSNR against σ, one line for each method, and its images at the middle σ.

    Raises:
        BadInput: no PSNR, an unknown suffix, or a path that cannot be written.
    """
    lines = _lines(measured)
    if not lines:
        raise BadInput("denoising: no PSNR to draw")
    sigmas = sorted({sigma for line in lines.values() for sigma in line})
    shown = sigmas[len(sigmas) // 2]
    rows = ["clean", *(f"{name}, σ={shown:g}" for name in lines)]
    rows = [row for row in rows if row in measured.arrays]
    strip_width, strip_height = strip_size(N_COLUMNS, SCALE)
    height = max(360, len(rows) * (strip_height + 6))
    size = frame(NUMBERS + WIDTH + BETWEEN + SIDE + strip_width, 40 + height + 50)
    with canvas(
        path, *size, title, f"recipe {recipe} · dashed: what needs no energy · images at σ = {shown:g}"
    ) as sheet:
        top = HEADER + 40
        _draw_lines(sheet, top, height, lines)
        left = MARGIN + NUMBERS + WIDTH + BETWEEN
        sheet.text(left, top - 40, f"At σ = {shown:g}", **PANEL_TITLE)
        for i, row in enumerate(rows):
            name, place = row.partition(", σ=")[0], top + i * (strip_height + 6)
            colour, _ = METHODS.get(name, (MUTED, ""))
            value = lines.get(name, {}).get(shown)
            beside(sheet, left, place + strip_height / 2, name, "" if value is None else spoken(value), colour)
            strip(sheet, measured.arrays[row][:N_COLUMNS], left + SIDE, place, SCALE)
    return path


def save_inpainting(measured: SectionResult, path: Path, *, recipe: str, title: str = "Inpainting") -> Path:
    """Draw, for each mask, images without their hidden pixels and what fills these, with the PSNR of each.

    Raises:
        BadInput: no images, an unknown suffix, or a path that cannot be written.
    """
    words = "PSNR in dB on the hidden pixels under each row, over all test images"
    return _save_rows(measured, path, FILLS, "masked", f"recipe {recipe} · {words}", title, " hidden")


def save_restoration(measured: SectionResult, path: Path, *, recipe: str, title: str = "Restoration") -> Path:
    """Draw, for each task, what was measured of images and what was drawn given that, with the PSNR of each.

    The spread is twice the standard deviation over samples.

    Raises:
        BadInput: no images, an unknown suffix, or a path that cannot be written.
    """
    words = "PSNR in dB under each row, over all test images · spread: twice the standard deviation"
    return _save_rows(measured, path, RESTORED, "measured", f"recipe {recipe} · {words}", title, "")


def _save_rows(
    measured: SectionResult, path: Path, names: dict[str, str], first: str, words: str, title: str, after: str
) -> Path:
    """Draw the rows `names`, with their colours, in a column for each task; `first` is what every task has."""
    clean = measured.arrays.get("clean")
    tasks = [name.removeprefix(f"{first}, ") for name in measured.arrays if name.startswith(f"{first}, ")]
    if clean is None or not tasks:
        raise BadInput(f"{title.lower()}: no images to draw")
    figures = by_name(measured)
    rows = [row for row in names if row == "clean" or any(f"{row}, {task}" in measured.arrays for task in tasks)]
    width, height = strip_size(min(N_FILLED, len(clean)), SCALE)
    pitch = height + 26
    size = frame(SIDE + len(tasks) * (width + GAP) - GAP, 40 + len(rows) * pitch)
    with canvas(path, *size, title, words) as sheet:
        top = HEADER + 40
        for row, name in enumerate(rows):
            beside(sheet, MARGIN, top + row * pitch + height / 2, name, colour=names[name])
            for column, task in enumerate(tasks):
                left = MARGIN + SIDE + column * (width + GAP)
                images = clean if name == "clean" else measured.arrays.get(f"{name}, {task}")
                if images is not None:
                    strip(sheet, images[:N_FILLED], left, top + row * pitch, SCALE)
                if figure := figures.get(f"{name}, {task}: PSNR"):
                    sheet.text(left, top + row * pitch + height + 2, spoken(figure), **SMALL)
        for column, task in enumerate(tasks):
            sheet.text(MARGIN + SIDE + column * (width + GAP), top - 40, f"{task}{after}", **PANEL_TITLE)
    return path


def _lines(measured: SectionResult) -> dict[str, dict[float, Metric]]:
    """Return the PSNR of each method by σ, in the order of `METHODS`."""
    found: dict[str, dict[float, Metric]] = {}
    for name, figure in by_name(measured).items():
        if match := NAMED.fullmatch(name):
            found.setdefault(match["method"], {})[float(match["sigma"])] = figure
    order = list(METHODS)
    return dict(sorted(found.items(), key=lambda line: order.index(line[0]) if line[0] in METHODS else len(order)))


def _draw_lines(sheet: Canvas, top: float, height: float, lines: dict[str, dict[float, Metric]]) -> None:
    sheet.text(MARGIN, top - 40, "PSNR, dB", **PANEL_TITLE)
    axes = sheet.axes(MARGIN + NUMBERS, top, WIDTH, height)
    for name, line in lines.items():
        colour, style = METHODS.get(name, (SPARE, "-"))
        sigmas = sorted(line)
        values, errors = [line[s].value for s in sigmas], [bar(line[s]) for s in sigmas]
        axes.errorbar(sigmas, values, errors, color=colour, linestyle=style, marker="o", markersize=4, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    low, high = axes.get_ylim()
    axes.set_ylim(low, low + 1.25 * (high - low))  # room for the names
    axes.legend(loc="upper right", ncols=2, **KEY | {"handlelength": 2.2, "columnspacing": 1.2})
    sheet.text(MARGIN + NUMBERS + WIDTH, top + height + 38, "σ of the noise", **SMALL | {"ha": "right"})
