"""A .tar of .png files, such as WebDataset's shards, in the order of the archive."""

import tarfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from ebmnist.data.images import checked_pixels
from ebmnist.data.names import packed, shown
from ebmnist.data.png import MOST_BYTES, is_picture, read_single_png
from ebmnist.errors import BadInput

BLOCK = 512  # bytes
MAGIC = slice(257, 262)  # of the first block, is "ustar"


class PngTar:
    """The .png members of a .tar that is not compressed, one image each. Other members are left alone.

    Where each begins is kept, about 30 bytes for one of them. Pictures are read when they are asked for.

    Raises:
        BadInput: it is damaged, or there is no .png member.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self.path = file, path
        self._begins, self._sizes = array("q"), array("q")
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                self._names = packed(self._members(tar))
        except (tarfile.TarError, OSError, ValueError) as error:
            raise BadInput(f"{path}: damaged .tar file ({error}); write it again") from error
        self.n = len(self._names)
        if not self.n:
            raise BadInput(f"{path}: holds no .png member; expected pictures of 28x28 pixels")

    def names(self, rows: range) -> list[str]:
        """Return the members' names."""
        return [shown(self._names[i]) for i in rows]

    def read(self, rows: range) -> Tensor:
        """Return the images, (len(rows), 1, 28, 28), each checked. Raises: BadInput, naming the member."""
        images = torch.stack([read_single_png(self._bytes(i), f"{self.path}: {shown(self._names[i])}") for i in rows])
        return checked_pixels(images, str(self.path))

    def _bytes(self, i: int) -> bytes:
        self._file.seek(self._begins[i])
        return self._file.read(min(self._sizes[i], MOST_BYTES))

    def _members(self, tar: tarfile.TarFile) -> Iterator[str]:
        """Yield the names, and keep where they begin."""
        while (member := tar.next()) is not None:
            if member.isreg() and is_picture(member.name):
                self._begins.append(member.offset_data)
                self._sizes.append(member.size)
                yield member.name
            tar.members.clear()  # type: ignore[attr-defined]  # or it would keep them all
        self._file.seek(tar.offset)
        if self._file.read(BLOCK).strip(b"\0"):
            raise tarfile.ReadError(f"no member begins at byte {tar.offset}")


def is_tar(start: bytes) -> bool:
    """Whether these are the first bytes of a .tar."""
    return start[MAGIC] == b"ustar"
