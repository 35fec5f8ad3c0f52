"""Locks between processes, which end with the process that holds them."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebmnist.reporting.atomic import LACKING, warn_once

if sys.platform != "win32":
    import fcntl


def lock(handle: int, *, wait: bool) -> None:
    """Keep other processes from locking an open file or folder until it is closed.

    A file system that lacks locks gets one warning.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
        OSError: the system refuses.
    """
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        # NFS says EBADF of a folder: its locks ask for a file that is open for writing.
        if error.errno not in {*LACKING, errno.EBADF}:
            raise
        warn_once(f"the file system cannot lock files ({error.strerror}): write a run from one process at a time")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let other processes wait that change files of `folder`: for the milliseconds of read, change and write."""
    if sys.platform == "win32":  # which cannot open a folder
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        lock(handle, wait=True)
        yield
    finally:
        os.close(handle)
