"""A journal: a file of JSON lines that only grows, may lose its last lines to a kill, and never its earlier ones."""

import json
import time
from collections.abc import Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Any

from ebmnist.errors import BadInput
from ebmnist.reading import parse_json, read_bytes
from ebmnist.reading.schema import Schema, anything, check, mapping_of
from ebmnist.reporting.atomic import flush_to_disk, mendable
from ebmnist.reporting.lock import lock

LARGEST = 2_000_000_000  # bytes, of some millions of lines
MEND = "mend or delete that line, or use the ebmnist that wrote it"
LINE = mapping_of(anything)


class Journal:
    """One line per `append`, flushed by the first one over a second later; opened at the first write.

    Reading needs no opening and disturbs no writer. One process writes at a time: the file is locked while it is open.
    """

    def __init__(self, path: Path, schema: Schema = LINE) -> None:
        self.path = path
        self.schema = schema  # of a line
        self.n_lines = 0  # known once the file is open
        self._file: BufferedWriter | None = None
        self._flushed = time.monotonic()

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line; its values are JSON and finite.

        Raises:
            BadInput: the disk is full, or another process is writing.
            ValueError: a number is not finite.
        """
        text = json.dumps(dict(line), allow_nan=False).encode() + b"\n"
        file = self.open()
        with mendable(self.path):
            file.write(text)
            self.n_lines += 1
            if time.monotonic() - self._flushed > 1:
                self.flush()

    def flush(self) -> None:
        """Hand the lines to the system, where a kill of this process cannot take them.

        Raises:
            BadInput: the disk is full.
        """
        self._flushed = time.monotonic()
        if self._file is not None:
            with mendable(self.path):
                self._file.flush()

    def flush_to_disk(self) -> int:
        """Put the lines where a power cut cannot take them, and return how many there are.

        Raises:
            BadInput: the disk is full, or another process is writing.
        """
        file = self.open()
        self.flush()
        with mendable(self.path):
            flush_to_disk(file.fileno())
        return self.n_lines

    def close(self) -> None:
        """Flush, unlock and close.

        Raises:
            BadInput: the disk is full.
        """
        if self._file is not None:
            file, self._file = self._file, None
            with mendable(self.path):
                file.close()

    def read(self) -> list[dict[str, Any]]:
        """Return the whole lines, oldest first; one that a kill tore off at the end is left out.

        Raises:
            BadInput: a line before the end is damaged, or is not what the schema says.
        """
        self.flush()
        lines = []
        for number, text in enumerate(self._whole_lines(), 1):
            name = f"{self.path}: line {number}"
            line = parse_json(text, name, MEND)
            lines.append(check(line, self.schema, name, MEND))
        return lines

    def truncate(self, n_lines: int) -> None:
        """Keep the first `n_lines` lines only.

        Raises:
            BadInput: the system refuses, or another process is writing.
        """
        file = self.open()
        self.flush()
        kept = self._whole_lines()[:n_lines]
        with mendable(self.path):
            file.truncate(sum(len(line) + 1 for line in kept))
            flush_to_disk(file.fileno())
        self.n_lines = len(kept)

    def open(self) -> BufferedWriter:
        """Open for writing: lock the file and cut off a torn last line.

        Raises:
            BadInput: the system refuses, or another process is writing.
        """
        if self._file is not None:
            return self._file
        with mendable(self.path):
            file = self.path.open("ab")
            try:
                lock(file.fileno(), wait=False)
                lines = self._whole_lines()
                file.truncate(sum(len(line) + 1 for line in lines))
            except BlockingIOError:
                file.close()
                raise BadInput(f"{self.path}: another process writes this run; wait for it or stop it") from None
            except BaseException:
                file.close()
                raise
        self._file, self.n_lines = file, len(lines)
        return file

    def _whole_lines(self) -> list[bytes]:
        content = read_bytes(self.path, LARGEST) if self.path.exists() else b""
        return content.split(b"\n")[:-1]
