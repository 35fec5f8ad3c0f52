"""Arrays of images in .npy and .npz files, read a few rows at a time."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from torch import Tensor

from ebmnist.data.images import check_array, checked_pixels, pixels_of
from ebmnist.data.npy import MOST_BEFORE, npy_header
from ebmnist.errors import BadInput

# What zipfile raises for a damaged archive, one of a foreign kind, and one with a password.
DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error)


class ArrayRows:
    """The images of a .npy file, from its beginning in an open file of `size` bytes.

    Raises:
        BadInput: damaged, or no array that can be images.
    """

    def __init__(self, file: IO[bytes], size: int, name: str) -> None:
        self._file, self.name = file, name
        with _whole(name):
            start = file.read(MOST_BEFORE)
        self.header = npy_header(start, size, name)
        check_array(self.header.dtype, self.header.shape, name)
        self.n = int(np.prod(self.header.shape[:-2]))
        self._row = self.header.dtype.itemsize * 784

    def names(self, rows: range) -> None:
        """Rows of an array have none."""

    def read(self, rows: range) -> Tensor:
        """Return the images, (len(rows), 1, 28, 28), checked. Raises: BadInput."""
        with _whole(self.name):
            self._file.seek(self.header.start + rows.start * self._row)
            data = self._file.read(len(rows) * self._row)
        if len(data) < len(rows) * self._row:
            raise BadInput(f"{self.name}: became shorter while it was read; write it again")
        array = np.frombuffer(data, self.header.dtype).reshape(-1, 28, 28)
        array = np.array(array, dtype=self.header.dtype.newbyteorder("="))
        return checked_pixels(pixels_of(array, self.name), self.name)


def images_in_zip(file: IO[bytes], path: Path, stack: ExitStack) -> ArrayRows | None:
    """Return the one array of images in a .npz, which stays open as long as `stack`; None if it holds no arrays.

    Other arrays beside it, such as labels, are left alone. Raises: BadInput for a damaged archive, or where not one
    array can be images.
    """
    with _whole(str(path)):
        archive = stack.enter_context(zipfile.ZipFile(file))
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        opened = [(stack.enter_context(archive.open(info)), info) for info in members]
    found: list[ArrayRows] = []
    why: BadInput | None = None
    for member, info in opened:
        try:
            found.append(ArrayRows(member, info.file_size, f"{path}, {info.filename.removesuffix('.npy')}"))
        except BadInput as error:
            why = error
    if len(found) > 1:
        names = ", ".join(rows.name.removeprefix(f"{path}, ") for rows in found)
        raise BadInput(f"{path}: holds several arrays of images ({names}); save one of them alone")
    if not found and why is not None:
        raise why
    return found[0] if found else None


@contextmanager
def _whole(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise BadInput(f"{name}: cannot be read ({' '.join(str(error).split())}); write it again") from error
