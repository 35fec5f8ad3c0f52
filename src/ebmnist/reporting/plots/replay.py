"""The replay buffer: chains with their ages, how old they are, and how many share an ancestor."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from ebmnist.data.png import BORDER, PITCH
from ebmnist.errors import BadInput
from ebmnist.reporting.grid import image_grid
from ebmnist.reporting.plots.canvas import Canvas, canvas, frame
from ebmnist.reporting.plots.style import HEADER, MARGIN, MODEL, SMALL

COLUMNS, ROWS, SCALE = 12, 4, 3  # of the grid
STRIP = SCALE * (PITCH + BORDER) + 30  # pixels of a row of chains and the ages under it
CHART_HEIGHT = 210  # pixels
ABOVE = 74  # pixels above a chart, for its title
SIDE = 76  # pixels left of a chart, for its numbers
GAP = 60  # pixels between the two charts

Counts = npt.NDArray[np.int64]


def save_replay(
    images: Tensor, age: Tensor, lineage: Tensor, path: Path, *, recipe: str, title: str = "The replay buffer"
) -> Path:
    """Draw the buffer's chains, images (N, 1, 28, 28) clipped to [0, 1], from the youngest to the oldest.

    `age`, (N,), in Langevin steps; `lineage`, (N,): chains that descend from one fresh start share it. Of many
    chains 48 are shown, evenly spread over the ranks of age. Below: histograms of age and of lineages by size.

    Raises:
        BadInput: no chains, tensors of unlike length, another shape, NaN, an unknown suffix,
            or a path that cannot be written.
    """
    if len(images) == 0 or not len(images) == len(age) == len(lineage):
        raise BadInput(
            f"replay: {len(images)} images, {len(age)} ages, {len(lineage)} lineages; give one of each per chain"
        )
    n_shown = min(len(age), COLUMNS * ROWS)
    ranks = torch.linspace(0, len(age) - 1, n_shown).round().long()
    shown = age.argsort(stable=True).cpu()[ranks]
    _, of_chain, sizes = np.unique(lineage.cpu().numpy(), return_inverse=True, return_counts=True)
    n_rows = -(-n_shown // COLUMNS)
    width = SCALE * (PITCH * COLUMNS + BORDER)
    words = f"recipe {recipe} · {n_shown} of {len(age):,} chains as they stand, noise and all, by age in Langevin steps"
    with canvas(path, *frame(width, n_rows * STRIP + ABOVE + CHART_HEIGHT + 34), title, words) as sheet:
        _draw_chains(sheet, images.cpu()[shown], age.cpu()[shown])
        chart, top = (width - GAP) / 2, HEADER + n_rows * STRIP + ABOVE
        charts = (
            (f"Age in Langevin steps, median {age.median():,}", age.cpu().numpy()),
            (f"Chains per lineage, of {len(sizes):,} in all", sizes[of_chain]),
        )
        for i, (name, values) in enumerate(charts):
            left = MARGIN + SIDE + i * (chart + GAP)
            _draw_shares(sheet.axes(left, top, chart - SIDE, CHART_HEIGHT), values, name)
    return path


def _draw_chains(sheet: Canvas, images: Tensor, age: Tensor) -> None:
    for row, start in enumerate(range(0, len(images), COLUMNS)):
        top = HEADER + row * STRIP
        chains = images[start : start + COLUMNS].clamp(0, 1)
        sheet.image(image_grid(chains, len(chains)), MARGIN, top, SCALE)
        for i, steps in enumerate(age[start : start + COLUMNS].tolist()):
            centre = MARGIN + SCALE * (BORDER + PITCH * i + 14)
            sheet.text(centre, top + STRIP - 26, f"{steps:,}", **SMALL | {"ha": "center"})


def _draw_shares(axes: Axes, values: Counts, title: str) -> None:
    """Draw the share of chains by value, (N,) integers ≥ 0, in bins 0, 1, 2–3, 4–7, …, each twice the one before."""
    bins = np.ceil(np.log2(values + 1)).astype(int)
    first, last = int(bins.min()), int(bins.max())
    shares = np.bincount(bins, minlength=last + 1)[first:] / len(values)
    edges = np.arange(first, last + 2)
    axes.bar(edges[:-1], shares, width=0.94, align="edge", color=MODEL)
    ticks = edges[:: -(-len(edges) // 6)]
    axes.set_xticks(ticks, [f"{2**edge // 2:,}" for edge in ticks.tolist()])
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title(title)
    axes.set_ylabel("share of chains")
