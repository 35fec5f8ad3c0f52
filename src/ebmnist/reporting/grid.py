"""The image grid: digits in rows and columns, pixel for pixel, as `data.images` reads them back."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ebmnist.data.images import check_images
from ebmnist.data.png import BORDER, PITCH
from ebmnist.errors import BadInput
from ebmnist.reporting.atomic import write_file

FILM_WIDTH = 720  # pixels of an animation, at most
FILM_IMAGES = (FILM_WIDTH // PITCH) ** 2  # that it has room for
BORDER_GREY = 56  # neither a digit's white nor its black


def image_grid(images: Tensor, n_columns: int) -> Image.Image:
    """Return images (N, 1, 28, 28), float in [0, 1], as a grey picture of (2 + 30·columns) by (2 + 30·rows) pixels.

    Row by row, white on black; cells left over in the last row have the border's grey.

    Raises:
        BadInput: no images, another shape, a value outside [0, 1] or not finite, n_columns < 1.
    """
    if n_columns < 1:
        raise BadInput(f"n_columns must be ≥ 1, not {n_columns}")
    x = check_images(images.detach().float().cpu(), "grid")
    n_rows = math.ceil(len(x) / n_columns)
    cells = np.full((n_rows * n_columns, PITCH, PITCH), BORDER_GREY, dtype=np.uint8)
    cells[: len(x), BORDER:, BORDER:] = (255 * x[:, 0]).round().to(torch.uint8).numpy()
    picture = np.full((BORDER + PITCH * n_rows, BORDER + PITCH * n_columns), BORDER_GREY, dtype=np.uint8)
    picture[:-BORDER, :-BORDER] = (
        cells.reshape(n_rows, n_columns, PITCH, PITCH).swapaxes(1, 2).reshape(PITCH * n_rows, -1)
    )
    return Image.fromarray(picture)


def save_grid(images: Tensor, path: Path, *, n_columns: int | None = None) -> Path:
    """Write the bare grid of images (N, 1, 28, 28), about square unless told otherwise, as .png.

    `data.images.read_images` returns the same pixels, to 1/255.

    Raises:
        BadInput: as `image_grid`, another suffix, or a path that cannot be written.
    """
    check_suffix(path, (".png",))
    content = io.BytesIO()
    image_grid(images, n_columns or square(len(images))).save(content, "PNG", optimize=True)
    write_file(path, content.getvalue())
    return path


def square(n: int) -> int:
    """Return the number of columns that makes a grid of n images about square."""
    return max(1, math.ceil(math.sqrt(n)))


def check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise BadInput unless `path` ends in one of `suffixes`."""
    if path.suffix not in suffixes:
        raise BadInput(f"{path}: cannot draw a {path.suffix or 'file without suffix'}; use {', '.join(suffixes)}")
