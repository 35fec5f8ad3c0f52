"""Reading beside a writer, who may take a folder away, or put another in its place, between two looks of a reader."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ebmnist.errors import BadInput
from ebmnist.reporting.atomic import REPLACED

N_LOOKS = 100  # a save takes milliseconds, and so does a look: no writer gets between so many

Found = TypeVar("Found")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to read `path` into one line with a mend.

    Raises:
        BadInput: instead of any OSError, such as a missing permission.
    """
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path}: not read ({error.strerror or error}); make it readable, or check the path") from error


def look_again(path: Path, read: Callable[[], Found]) -> Found:
    """Return what `read()` finds at `path`; where it fails and the folder has changed meanwhile, read again.

    Raises:
        BadInput: what `read` raises where nothing changed; the system refuses; it changed `N_LOOKS` times.
    """
    for _ in range(N_LOOKS - 1):
        seen = _seen(path)
        try:
            with readable(path):
                return read()
        except BadInput:
            if _seen(path) == seen:
                raise
    with readable(path):
        return read()


def _seen(path: Path) -> set[tuple[str, int, int]]:
    """Name, inode and time of change of all that a reader of `path` would go by."""
    beside = (path, path.with_name(REPLACED + path.name)) if path.name else (path,)
    found = set()
    for entry in (*beside, *_entries(path), *_entries(path / "checkpoints")):
        with suppress(OSError):
            at = entry.stat()
            found.add((str(entry), at.st_ino, at.st_mtime_ns))
    return found


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []
