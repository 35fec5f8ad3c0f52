"""Atomic writes: a file or folder appears whole and on disk, or not at all, at whatever instant the process dies."""

import errno
import functools
import itertools
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ebmnist.errors import BadInput

TEMPORARY = ".tmp-"  # being written: never read, swept by the next writer
REPLACED = ".replaced-"  # the former holder of a name, kept until the new one stands
# What file systems say that lack a call: network, FUSE and overlay ones. 524 is the kernel's own ENOTSUPP.
LACKING = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, 524}


@contextmanager
def mendable(path: Path, way_out: str = "") -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into one line with a mend.

    Raises:
        BadInput: instead of any OSError: a full disk, a folder that may not be written, …
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        mend = "free some space there" if full else "make it writable or choose another folder"
        raise BadInput(f"{path}: not written ({error.strerror or error}); {mend}{way_out}") from error


def write_file(path: Path, content: str | bytes) -> None:
    """Write or replace one file; text is UTF-8.

    Raises:
        BadInput: the system refuses; what was there before is still there.
    """
    # A name that is no UTF-8, in JSON or HTML: backslashreplace writes what JSON reads back.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    temporary = _temporary(path)
    with mendable(path):
        try:
            _write(temporary, data)
            try:
                temporary.replace(path)
            except FileNotFoundError:  # a resume beside swept it, as if its writer were dead
                _write(temporary, data)
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes], *, way_out: str = "") -> None:
    """Write or replace one folder with these files, name to content.

    A folder cannot be renamed onto a full one, so a former holder of the name steps aside first: between the two
    renames only `.replaced-<name>` stands, which readers must accept in its place (`standing`).

    Raises:
        BadInput: the system refuses; what was there before is still there. `way_out` ends the message.
    """
    temporary, replaced = _temporary(path), path.with_name(REPLACED + path.name)
    with mendable(path, way_out):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            for name, content in files.items():
                _write(temporary / name, content)
            _sync(temporary)
            if path.exists():
                path.rename(replaced)
            temporary.rename(path)
        except BaseException:
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)


def new_folder(path: Path) -> Path:
    """Make a folder that is not there yet, or take an empty one, in which files can be written.

    Raises:
        BadInput: it holds something, is a file, or may not be made or written.
    """
    with mendable(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise BadInput(f"{path}: exists already; choose another folder")
        path.mkdir(parents=True, exist_ok=True)
    check_writable(path)
    return path


def check_writable(folder: Path) -> None:
    """Find out before the work whether files can be written after it into `folder`, if that is there.

    Raises:
        BadInput: they cannot.
    """
    if not folder.is_dir():
        return  # whoever reads it says what is wrong
    temporary = _temporary(folder / "writable")
    with mendable(folder):
        try:
            temporary.write_bytes(b"\n")
        finally:
            temporary.unlink(missing_ok=True)


def standing(folder: Path) -> dict[str, Path]:
    """Return the whole folders inside `folder`, by name, whichever instant their writer died at."""
    found = {path.name: path for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else {}
    aside = {name.removeprefix(REPLACED): path for name, path in found.items() if name.startswith(REPLACED)}
    return aside | {name: path for name, path in found.items() if not name.startswith((TEMPORARY, REPLACED))}


def remove_folder(path: Path) -> None:
    """Remove a folder; a half-removed one is never seen under its name.

    Raises:
        BadInput: the system refuses.
    """
    temporary = _temporary(path)
    with mendable(path):
        path.rename(temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Clear away what dead writers left in `folder`; a name left empty-handed gets its former holder back.

    Raises:
        BadInput: the system refuses.
    """
    with mendable(folder):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            former = path.with_name(path.name.removeprefix(REPLACED))
            with suppress(FileNotFoundError):  # its writer is alive and was quicker, or another sweep
                if path.name.startswith(REPLACED) and not former.exists():
                    path.rename(former)
                elif path.name.startswith((TEMPORARY, REPLACED)):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


@functools.cache
def warn_once(what: str) -> None:
    """Log a warning, the first time that it is asked for in this process."""
    logging.getLogger("ebmnist").warning(what)


def flush_to_disk(handle: int) -> None:
    """Put a file or folder on disk, as far as its file system can.

    Raises:
        OSError: the disk is full or broken. A file system that lacks this call gets one warning.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in LACKING:
            raise
        warn_once(f"the file system cannot flush to disk ({error.strerror}): a power cut may cost the last files")


_number = itertools.count()


def _temporary(path: Path) -> Path:
    """A name beside `path` that no other writer uses, short enough where that of `path` is as long as a name may be."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{next(_number)}-{path.name[:40]}")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        flush_to_disk(file.fileno())


def _sync(folder: Path) -> None:
    """Put the names in a folder on disk: a rename survives a power cut only then."""
    if sys.platform == "win32":  # which cannot open a folder, and journals names itself
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written and not read
        return
    try:
        flush_to_disk(handle)
    finally:
        os.close(handle)
