"""A .npy file of many images, written in chunks by any number of processes; it appears when all chunks are there."""

import io
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.reading import read_json
from ebmnist.reading.schema import anything, check, mapping_of
from ebmnist.reporting.atomic import flush_to_disk, mendable, write_file

CHUNK = 4096  # images: 13 MB


@dataclass(frozen=True)
class ManyImages:
    """Images (n, 1, 28, 28), float32, on their way to `path`; until all are there, in the folder `path`.part.

    The folder holds the file at its full length, what was asked for, and an empty file for each chunk that is written.
    Chunk i has the images i · CHUNK and on. Whoever is killed loses the chunk that it was at.
    """

    path: Path
    n: int

    @property
    def folder(self) -> Path:
        """Where the chunks are, until all are there."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def n_chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.n // CHUNK)

    def begin(self, asked: dict[str, Any]) -> None:
        """Make the folder for what is `asked`, plain values by name, or go on with one for the same.

        Raises:
            BadInput: it is for something else, is damaged, or cannot be written.
        """
        facts, mend = self.folder / "asked.json", f"delete {self.folder}, or ask for the same again"
        with mendable(self.path):
            self.folder.mkdir(exist_ok=True)
            if facts.exists():
                found = check(read_json(facts, mend), mapping_of(anything), str(facts), mend)
                if other := [name for name in asked if found.get(name) != asked[name]]:
                    was, now = (repr(values.get(other[0])) for values in (found, asked))
                    raise BadInput(f"{self.folder}: begun with another {other[0]}, {was} and not {now}; {mend}")
                return
            with (self.folder / "images").open("wb") as file:
                file.write(self._header())
                file.truncate(len(self._header()) + self.n * 784 * 4)
            write_file(facts, json.dumps(asked))

    def missing(self) -> list[int]:
        """Return the chunks that are not there, in order."""
        return [i for i in range(self.n_chunks) if not self._mark(i).exists()]

    def rows(self, chunk: int) -> range:
        """Return the numbers of a chunk's images."""
        return range(chunk * CHUNK, min((chunk + 1) * CHUNK, self.n))

    def write(self, chunk: int, images: Tensor) -> None:
        """Put a chunk's images, (len(rows(chunk)), 1, 28, 28), on disk.

        Raises:
            BadInput: the disk is full, or the folder is gone; the chunk counts as missing.
        """
        with mendable(self.path):
            with (self.folder / "images").open("r+b") as file:
                file.seek(len(self._header()) + self.rows(chunk).start * 784 * 4)
                file.write(images.detach().float().cpu().numpy().tobytes())
                file.flush()
                flush_to_disk(file.fileno())
            self._mark(chunk).touch()

    def finish(self) -> bool:
        """Give the file its name if all chunks are there. Returns whether this process did so, and no other before."""
        if not self.folder.exists() or self.missing():
            return False
        with mendable(self.path), suppress(FileNotFoundError):  # another process was quicker
            (self.folder / "images").replace(self.path)
            shutil.rmtree(self.folder, ignore_errors=True)
            return True
        return False

    def _mark(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk:06d}"

    def _header(self) -> bytes:
        header = io.BytesIO()
        facts = {"descr": "<f4", "fortran_order": False, "shape": (self.n, 1, 28, 28)}
        np.lib.format.write_array_header_1_0(header, facts)
        return header.getvalue()
