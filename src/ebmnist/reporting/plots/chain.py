"""How chains move from noise to digits: a film strip, and the film itself."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ebmnist.data.png import BORDER, PITCH
from ebmnist.errors import BadInput
from ebmnist.reporting.atomic import write_file
from ebmnist.reporting.grid import FILM_WIDTH, check_suffix, image_grid, square
from ebmnist.reporting.plots.canvas import canvas, frame, largest_scale
from ebmnist.reporting.plots.style import HEADER, LABEL, MARGIN

STRIP = 44  # pixels under an animation's grid, for the step and the bar
COLUMN_TITLE = 30  # pixels above the film strip, for its steps
STRETCH = 4.0  # the last frame but one is held this many times longer than the first
LAST_HOLD = 2000  # ms


def film_steps(n_steps: int, cycle: int = 1) -> list[int]:
    """Return the steps at which a chain is worth a look: 0, 1, 2, 4, … and `n_steps`; in cycles, sixteen even parts.

    >>> film_steps(12)
    [0, 1, 2, 4, 8, 12]
    >>> film_steps(256, cycle=128)[:10]
    [0, 16, 32, 48, 64, 80, 96, 112, 128, 144]
    """
    if cycle > 1:
        return sorted({round(i * n_steps / 16) for i in range(17)})
    return [0, *(2**i for i in range(n_steps.bit_length()) if 2**i < n_steps), *([n_steps] if n_steps else [])]


def save_film_strip(
    trajectory: Tensor, steps: Sequence[int], path: Path, *, recipe: str, title: str = "From noise to digits"
) -> Path:
    """Draw one row per chain and one column per step of a trajectory (K, B, 1, 28, 28), clipped to [0, 1].

    `steps` are the K steps of the sampler at which it was kept.

    Raises:
        BadInput: nothing to draw, another shape, NaN, an unknown suffix, or a path that cannot be written.
    """
    _check(trajectory, steps)
    grid = image_grid(trajectory.transpose(0, 1).flatten(0, 1).clamp(0, 1), len(steps))
    scale = largest_scale(grid.width)
    size = frame(scale * grid.width, COLUMN_TITLE + scale * grid.height)
    with canvas(path, *size, title, f"recipe {recipe} · each row a chain, each column a step of the sampler") as sheet:
        for i, step in enumerate(steps):
            middle = MARGIN + scale * (BORDER + PITCH * i + 14)
            sheet.text(middle, HEADER, f"{step:,}", **LABEL | {"ha": "center"})
        sheet.image(grid, MARGIN, HEADER + COLUMN_TITLE, scale)
    return path


def save_animation(trajectory: Tensor, steps: Sequence[int], path: Path, *, n_columns: int | None = None) -> Path:
    """Write chains (K, B, 1, 28, 28), clipped to [0, 1], as a moving grid: .webp (lossless) or .gif.

    One frame per step; later frames are held longer, and the last one longest.

    Raises:
        BadInput: nothing to draw, another shape, NaN, another suffix, or a path that cannot be written.
    """
    check_suffix(path, (".webp", ".gif"))
    _check(trajectory, steps)
    columns = n_columns or square(trajectory.shape[1])
    frames = [
        _film_frame(image_grid(x.clamp(0, 1), columns), step, i / max(1, len(steps) - 1))
        for i, (x, step) in enumerate(zip(trajectory, steps, strict=True))
    ]
    content = io.BytesIO()
    options = {"lossless": True} if path.suffix == ".webp" else {"optimize": False}
    frames[0].save(
        content,
        path.suffix[1:].upper(),
        save_all=True,
        append_images=frames[1:],
        duration=durations(len(frames)),
        loop=0,
        **options,
    )
    write_file(path, content.getvalue())
    return path


def durations(n_frames: int) -> list[int]:
    """Return for how many ms each frame is held: about 4 s in all, growing by STRETCH, then LAST_HOLD.

    In tens of ms, as a .gif counts, and at least 20, below which browsers slow a .gif down.
    """
    growth = STRETCH ** np.linspace(0, 1, max(1, n_frames - 1))
    total = min(4000, 400 * n_frames)
    held = np.maximum(20, np.round(growth / growth.sum() * total / 10).astype(int) * 10)
    return [*held[: n_frames - 1].tolist(), LAST_HOLD]


def _film_frame(grid: Image.Image, step: int, progress: float) -> Image.Image:
    """Return the grid enlarged, over a strip with the step and a bar that fills from frame to frame."""
    scale = largest_scale(grid.width, FILM_WIDTH)
    width, height = scale * grid.width, scale * grid.height
    film = Image.new("L", (width, height + STRIP), 255)
    film.paste(grid.resize((width, height), Image.Resampling.NEAREST))
    pen = ImageDraw.Draw(film)
    pen.rectangle((0, height, width, height + 5), fill=225)
    pen.rectangle((0, height, round(progress * width), height + 5), fill=110)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 17)
    pen.text((scale * BORDER, height + 15), f"step {step:,}", fill=40, font=font)
    return film


def _check(trajectory: Tensor, steps: Sequence[int]) -> None:
    if trajectory.ndim != 5 or 0 in trajectory.shape[:2] or len(trajectory) != len(steps):
        raise BadInput(
            f"trajectory: shape {tuple(trajectory.shape)} for {len(steps)} steps; expected (K, B, 1, 28, 28) for K"
        )
