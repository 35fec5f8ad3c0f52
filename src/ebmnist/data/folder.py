"""A folder of .png files, of any number, in the order of their names; folders in it come after its files."""

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from ebmnist.data.images import checked_pixels
from ebmnist.data.names import Names, packed, shown
from ebmnist.data.png import MOST_BYTES, is_picture, read_single_png
from ebmnist.errors import BadInput
from ebmnist.reading import read_bytes


class PngFolder:
    """The .png files in a folder and in the folders below it, one image each. Other and hidden files are left alone.

    Names are kept, about 20 bytes each, and pictures are read when they are asked for. Links to folders are not
    followed.

    Raises:
        BadInput: it cannot be read, or there is no .png file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._groups = [(below, names) for below, names in _walk(folder, "") if len(names)]
        self._ends = list(accumulate(len(names) for _, names in self._groups))
        if not self._groups:
            raise BadInput(f"{folder}: holds no .png file; give a folder of pictures of 28x28 pixels")
        self.n = self._ends[-1]

    @property
    def identity(self) -> str:
        """What tells the names of these files from others."""
        seen = hashlib.sha256()
        for below, names in self._groups:
            seen.update(os.fsencode(below) + b"\0" + names.tobytes())
        return f"{self.n} files, {seen.hexdigest()[:12]}"

    def names(self, rows: range) -> list[str]:
        """Return the files' paths in the folder."""
        return [shown(os.fsencode(self._path(i))) for i in rows]

    def read(self, rows: range) -> Tensor:
        """Return the images, (len(rows), 1, 28, 28), each checked. Raises: BadInput, naming the file."""
        paths = (self.folder / self._path(i) for i in rows)
        images = torch.stack([read_single_png(read_bytes(path, MOST_BYTES), str(path)) for path in paths])
        return checked_pixels(images, str(self.folder))

    def _path(self, i: int) -> str:
        group = bisect_right(self._ends, i)
        below, names = self._groups[group]
        return below + os.fsdecode(names[i - self._ends[group]])


def _walk(folder: Path, below: str) -> Iterator[tuple[str, Names]]:
    """Yield each folder's path with a slash, and the sorted names of its .png files."""
    inner: list[str] = []

    def pictures() -> Iterator[str]:
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.name)
                elif is_picture(entry.name):
                    yield entry.name

    try:
        names = packed(pictures())
    except OSError as error:
        raise BadInput(f"{folder / below}: cannot be read ({error.strerror}); make it readable") from error
    names.sort()
    yield below, names
    for name in sorted(inner):
        yield from _walk(folder, f"{below}{name}/")
