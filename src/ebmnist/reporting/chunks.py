"""A file of many rows, written in chunks by any number of processes; it appears when all chunks are there."""

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from ebmnist.errors import BadInput
from ebmnist.reading import read_json
from ebmnist.reading.schema import anything, check, mapping_of
from ebmnist.reporting.atomic import flush_to_disk, mendable, write_file


class Format(NamedTuple):
    """What stands around the rows of a file, in bytes."""

    header: bytes = b""
    footer: bytes = b""
    row_size: int | None = None  # None for rows of different length


def npy_format(n: int, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> Format:
    """Return the format of a .npy file of n rows, each of numbers or records of this type and shape."""
    header, row = io.BytesIO(), np.dtype((np.dtype(dtype), shape))
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": (n, *shape)})
    return Format(header.getvalue(), row_size=row.itemsize)


@dataclass(frozen=True)
class Chunks:
    """A file of `n` rows on its way to `path`; until all are there, its chunks are in the folder `path`.part.

    The folder says what was asked for, and has a file for each chunk that is written. Chunk i has `size` rows from
    i · size on. Rows of one length are written where they belong in a file of the full length, and the chunk's own
    file is empty. Others are in the chunk's own file. Whoever is killed loses the chunk that it was at.

    A file of one chunk is written at once, without a folder.
    """

    path: Path
    n: int
    size: int
    format: Format

    @property
    def folder(self) -> Path:
        """Where the chunks are, until all are there."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def n_chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.n // self.size)

    def rows(self, chunk: int) -> range:
        """Return the numbers of a chunk's rows."""
        return range(chunk * self.size, min((chunk + 1) * self.size, self.n))

    def begin(self, asked: dict[str, Any]) -> None:
        """Make the folder for what is `asked`, plain values by name, or go on with one for the same.

        Raises:
            BadInput: it is for something else, is damaged, or cannot be written.
        """
        if self.n_chunks == 1:
            return
        facts, mend = self.folder / "asked.json", f"delete {self.folder}, or ask for the same again"
        with mendable(self.path):
            self.folder.mkdir(exist_ok=True)
            if facts.exists() and (self._whole.exists() or self.format.row_size is None):
                found = check(read_json(facts, mend), mapping_of(anything), str(facts), mend)
                if other := [name for name in asked if found.get(name) != asked[name]]:
                    was, now = (repr(values.get(other[0])) for values in (found, asked))
                    raise BadInput(f"{self.folder}: begun with another {other[0]}, {was} and not {now}; {mend}")
                return
            for mark in self.folder.glob("chunk-*"):  # of a file that got its name before a kill
                mark.unlink()
            if self.format.row_size is not None:
                with self._whole.open("wb") as file:
                    file.write(self.format.header)
                    file.truncate(len(self.format.header) + self.n * self.format.row_size)
            write_file(facts, json.dumps(asked))

    def missing(self) -> list[int]:
        """Return the chunks that are not there, in order."""
        return [i for i in range(self.n_chunks) if not self._mark(i).exists()]

    def write(self, chunk: int, data: bytes) -> None:
        """Put the bytes of a chunk's rows on disk.

        Raises:
            BadInput: the disk is full, or the folder is gone; the chunk counts as missing.
        """
        header, footer, row_size = self.format
        if self.n_chunks == 1:
            write_file(self.path, header + data + footer)
        elif row_size is None:
            write_file(self._mark(chunk), data)
        else:
            assert len(data) == row_size * len(self.rows(chunk))
            with mendable(self.path):
                with self._whole.open("r+b") as file:
                    file.seek(len(header) + self.rows(chunk).start * row_size)
                    file.write(data)
                    file.flush()
                    flush_to_disk(file.fileno())
                self._mark(chunk).touch()

    def finish(self) -> None:
        """Give the file its name, once all chunks are there. One process does this.

        Raises:
            BadInput: a chunk is missing, or the disk is full; the chunks stay.
        """
        if self.n_chunks == 1:
            return
        if missing := self.missing():
            n_there = self.n_chunks - len(missing)
            raise BadInput(f"{self.folder}: has {n_there} of {self.n_chunks} chunks; ask for the same again")
        with mendable(self.path):
            if self.format.row_size is None:
                with self._whole.open("wb") as file:
                    self._join(file)
            self._whole.replace(self.path)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _join(self, file: BinaryIO) -> None:
        file.write(self.format.header)
        for chunk in range(self.n_chunks):
            with self._mark(chunk).open("rb") as rows:
                shutil.copyfileobj(rows, file)
        file.write(self.format.footer)
        file.flush()
        flush_to_disk(file.fileno())

    @property
    def _whole(self) -> Path:
        return self.folder / "whole"

    def _mark(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk:06d}"
