"""Bytes of a bounded size: no file, and nothing that a file inflates to, is larger than a limit its message names."""

import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path

from ebmnist.errors import BadInput

GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
LARGEST = 600_000_000  # bytes; the largest file of EMNIST, 697,932 training images, has 547 million
PIECE = 2**20  # bytes
XZ_MEMORY = 2**27  # bytes; xz -9 needs half of it


def from_home(path: str | Path) -> Path:
    """Return a path, its leading `~` as the home folder."""
    word = str(path)
    return Path(path).expanduser() if word == "~" or word.startswith("~/") else Path(path)


def read_bytes(file: Traversable, limit: int = LARGEST) -> bytes:
    """Return a file's bytes, at most `limit`. Raises: BadInput if it is missing, unreadable or larger."""
    try:
        with file.open("rb") as opened:
            data = _start(opened.read, limit + 1)
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # a name with a null character
        raise BadInput(f"{str(file)!r}: cannot be read ({error})") from error
    if len(data) > limit:
        raise BadInput(
            f"{file}: over {limit:,} bytes, more than is read of such a file; check that it is the right one"
        )
    return bytes(data)


def inflate(data: bytes, name: str, limit: int = LARGEST) -> bytearray:
    """Return what gzip or xz `data` holds, or `data` if it is neither. Raises: BadInput if corrupt or larger."""
    whole = inflated_start(data, name, limit + 1)
    if len(whole) > limit:
        raise BadInput(f"{name}: holds over {limit:,} bytes when decompressed, more than is read; fetch it again")
    return whole


def inflated_start(data: bytes, name: str, n: int) -> bytearray:
    """Return the first `n` bytes of what gzip or xz `data` holds, or of `data`; all, checked, if it is shorter.

    Raises:
        BadInput: corrupt, as far as it was read.
    """
    try:
        if data.startswith(GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                return _start(stream.read, n)
        if data.startswith(XZ):
            return _start_of_xz(data, n)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"{name}: corrupt compressed file ({error}); fetch it again") from error
    return bytearray(memoryview(data)[:n])


def _start_of_xz(data: bytes, n: int) -> bytearray:
    """Return the first `n` bytes of the streams in xz data, which zeros may follow."""
    start, at = bytearray(), 0
    while len(start) < n and at < len(data):
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        while len(start) < n and not decompressor.eof:
            piece = data[at : at + PIECE] if decompressor.needs_input else b""  # what it is given, it copies
            if decompressor.needs_input and not piece:
                raise EOFError("it ends too early")
            at += len(piece)
            start += decompressor.decompress(piece, min(n - len(start), PIECE))
        at -= len(decompressor.unused_data)
        at = len(data) - len(data[at:].lstrip(b"\0"))
    return start


def _start(read: Callable[[int], bytes], n: int) -> bytearray:
    """Return the first `n` bytes, by pieces: reading n at once asks for the memory before it is known to be needed."""
    start = bytearray()
    while len(start) < n and (piece := read(min(n - len(start), PIECE))):
        start += piece
    return start


def resembles(data: bytes | bytearray) -> str:
    """Return, in words with a leading space, what a file that is not the one expected seems to be; often nothing."""
    start = data[:200].lstrip().lower()
    if not data:
        return " (it is empty)"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return " (it is a web page: the download went wrong; fetch it again)"
    if start.startswith(b"version https://git-lfs"):
        return " (it is Git LFS's pointer to the file; fetch the file with: git lfs pull)"
    return ""
