"""Samples from noise, alone or beside real images."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ebmnist.reporting.grid import image_grid, square
from ebmnist.reporting.plots.canvas import canvas, frame, largest_scale
from ebmnist.reporting.plots.style import DATA, HEADER, LABEL, MARGIN, MODEL, WIDEST

GAP = 40  # pixels between two panels
PANEL_TITLE = 38  # pixels above a panel, for its title


def save_samples(
    images: Tensor,
    path: Path,
    *,
    recipe: str,
    n_steps: int,
    seed: int,
    n_columns: int | None = None,
    title: str = "Samples from noise",
) -> Path:
    """Draw samples (N, 1, 28, 28), clipped to [0, 1], with where they come from.

    Raises:
        BadInput: no images, another shape, NaN, an unknown suffix, or a path that cannot be written.
    """
    grid = image_grid(images.clamp(0, 1), n_columns or square(len(images)))
    scale = largest_scale(grid.width)
    size = frame(scale * grid.width, scale * grid.height)
    with canvas(path, *size, title, origin(recipe, n_steps, seed)) as sheet:
        sheet.image(grid, MARGIN, HEADER, scale)
    return path


def save_beside_data(
    samples: Tensor,
    real: Tensor,
    path: Path,
    *,
    recipe: str,
    n_steps: int,
    seed: int,
    n_columns: int | None = None,
    title: str = "Samples beside real images",
) -> Path:
    """Draw samples and real images, each (N, 1, 28, 28) and clipped to [0, 1], side by side.

    Raises:
        BadInput: no images, another shape, NaN, an unknown suffix, or a path that cannot be written.
    """
    panels = (("model", MODEL, samples), ("data", DATA, real))
    return save_panels(panels, path, title=title, subtitle=origin(recipe, n_steps, seed), n_columns=n_columns)


def save_panels(
    panels: Sequence[tuple[str, str, Tensor]], path: Path, *, title: str, subtitle: str, n_columns: int | None = None
) -> Path:
    """Draw sets of images, each (name, colour, (N, 1, 28, 28) clipped to [0, 1]), side by side.

    Raises:
        BadInput: no images, another shape, NaN, an unknown suffix, or a path that cannot be written.
    """
    columns = n_columns or square(max((len(images) for _, _, images in panels), default=1))
    grids = [image_grid(images.clamp(0, 1), columns) for _, _, images in panels]
    scale = largest_scale(grids[0].width, (WIDEST - GAP) // len(panels))
    width, height = scale * grids[0].width, scale * max(grid.height for grid in grids)
    size = frame(len(panels) * (width + GAP) - GAP, PANEL_TITLE + height)
    with canvas(path, *size, title, subtitle) as sheet:
        for i, (name, colour, _) in enumerate(panels):
            left = MARGIN + i * (width + GAP)
            sheet.text(left, HEADER, name, **LABEL | {"color": colour, "fontweight": "bold"})
            sheet.image(grids[i], left, HEADER + PANEL_TITLE, scale)
    return path


def origin(recipe: str, n_steps: int, seed: int) -> str:
    """Say where samples come from.

    >>> origin("default", 256, 0)
    'recipe default · 256 steps from uniform noise · seed 0'
    """
    return f"recipe {recipe} · {n_steps:,} steps from uniform noise · seed {seed}"
