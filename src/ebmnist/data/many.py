"""Any number of images on disk, of which a few are in memory at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ebmnist.data.arrays import ArrayRows, images_in_zip
from ebmnist.data.folder import PngFolder
from ebmnist.data.images import ZIP, note_brightness, read_images
from ebmnist.data.npy import NPY
from ebmnist.data.tar import BLOCK, PngTar, is_tar
from ebmnist.errors import BadInput
from ebmnist.reading import from_home

COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst")


class ManyImages(Protocol):
    """Images on disk, in an order of their own."""

    n: int  # how many, ≥ 1

    def read(self, rows: range) -> Tensor:
        """Return some images, (len(rows), 1, 28, 28) float32 in [0, 1], checked. Raises: BadInput."""
        ...

    def names(self, rows: range) -> list[str] | None:
        """Return the names of their files; None for images without names."""
        ...


class LoadedImages:
    """Images of a file that is read whole: a picture, a grid of tiles, IDX."""

    def __init__(self, images: Tensor) -> None:
        self.n, self._images = len(images), images

    def names(self, rows: range) -> None:
        """They have none."""

    def read(self, rows: range) -> Tensor:
        """Return the images, (len(rows), 1, 28, 28)."""
        return self._images[rows.start : rows.stop]


@contextmanager
def open_images(path: str | Path) -> Iterator[ManyImages]:
    """Open a folder of .png files, a .tar of them, an array in .npy or .npz, or what `read_images` takes.

    The kind of a file is told by its first bytes, not by its name. What `read_images` takes, .npy apart, is read whole.

    Raises:
        BadInput: nothing of the kind is there, or it is damaged.
    """
    with ExitStack() as stack:
        yield _opened(from_home(path), stack)


def identity_of(path: str | Path, images: ManyImages) -> str:
    """Return what tells these images from others: a folder's names, or the size and time of change of a file."""
    if isinstance(images, PngFolder):
        return images.identity
    about = from_home(path).stat()
    return f"{about.st_size} bytes of {about.st_mtime_ns / 1e9:.3f}"


def _opened(path: Path, stack: ExitStack) -> ManyImages:
    if path.is_dir():
        return PngFolder(path)
    if not path.is_file():  # a pipe, which is read once, or nothing
        return LoadedImages(read_images(path))
    if path.name.lower().endswith(COMPRESSED):
        raise BadInput(f"{path}: a compressed .tar, which cannot be read in pieces; decompress it first")
    try:
        file = stack.enter_context(path.open("rb"))
        start = file.read(BLOCK)
        file.seek(0)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from error
    found: ManyImages | None = None
    if is_tar(start):
        found = PngTar(file, path)
    elif start.startswith(ZIP):
        found = images_in_zip(file, path, stack)
    elif start.startswith(NPY):
        array = ArrayRows(file, path.stat().st_size, str(path))
        found = None if array.header.fortran_order and array.n > 1 else array
    if found is None:
        return LoadedImages(read_images(path))
    note_brightness(found.read(range(min(found.n, 100))), str(path))
    return found
