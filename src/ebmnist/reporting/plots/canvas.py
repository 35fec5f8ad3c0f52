"""A canvas measured in pixels from its top left corner: digits land on whole pixels, and nothing overlaps by chance."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ebmnist.reporting.atomic import write_file
from ebmnist.reporting.grid import check_suffix
from ebmnist.reporting.plots.style import (
    DPI,
    HEADER,
    LARGEST_SCALE,
    MARGIN,
    NARROWEST,
    STYLE,
    SUBTITLE,
    TITLE,
    WIDEST,
)

FORMATS = (".png", ".webp", ".pdf", ".svg")


@dataclass(frozen=True)
class Canvas:
    """A figure of `width` by `height` pixels; all places are (left, top) in pixels."""

    figure: Figure
    width: int
    height: int

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes whose data area has this place and size."""
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def image(self, image: Image.Image, left: float, top: float, scale: int) -> None:
        """Show a grey image, each of its pixels as `scale` by `scale`."""
        axes = self.axes(left, top, scale * image.width, scale * image.height)
        axes.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axes.set_axis_off()

    def text(self, left: float, top: float, words: str, **look: Any) -> None:
        """Write words with the top left corner there, unless `look` (matplotlib's text properties) aligns otherwise."""
        look = {"ha": "left", "va": "top"} | look
        self.figure.text(left / self.width, 1 - top / self.height, words, **look)


@contextmanager
def canvas(path: Path, width: int, height: int, title: str, subtitle: str = "") -> Iterator[Canvas]:
    """Open a canvas under a title; on leaving, write it to `path` at 150 dots an inch, whole or not at all.

    Raises:
        BadInput: an unknown suffix, or a path that cannot be written.
    """
    check_suffix(path, FORMATS)
    with matplotlib.style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        sheet = Canvas(figure, width, height)
        sheet.text(MARGIN, MARGIN - 6, title, **TITLE)
        sheet.text(MARGIN, MARGIN + 34, subtitle, **SUBTITLE)
        yield sheet
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:], dpi=DPI)
    write_file(path, content.getvalue())


def frame(content_width: int, content_height: int) -> tuple[int, int]:
    """Return the width and height of a canvas around content that starts at (MARGIN, HEADER)."""
    return max(NARROWEST, content_width) + 2 * MARGIN, HEADER + content_height + MARGIN


def largest_scale(width: int, within: int = WIDEST) -> int:
    """Return the largest whole factor, 1 to LARGEST_SCALE, at which `width` pixels stay within so many."""
    return max(1, min(LARGEST_SCALE, within // width))
