"""The .npy file format, read without evaluating its header: plain numbers of any byte and index order."""

import math
import re
import struct
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ebmnist.errors import BadInput

NPY = b"\x93NUMPY"
LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # of the header, by the format's version
LONGEST_HEADER = 10_000  # characters
MOST_BEFORE = LONGEST_HEADER + 12  # bytes before the numbers
KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


class NpyHeader(NamedTuple):
    """What a .npy file says of its array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool  # the first index runs fastest
    start: int  # bytes before the numbers

    @property
    def n_bytes(self) -> int:
        """How many bytes the numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(data: bytes, name: str) -> npt.NDArray[np.generic]:
    """Return the array in the bytes of a .npy file, in this machine's byte order.

    Raises:
        BadInput: damaged, cut short, of objects, text or records, or of numbers of an unusual width.
    Source: NumPy's NEP 1 and the documentation of `numpy.lib.format`.
    """
    header = npy_header(data, len(data), name)
    order: Literal["F", "C"] = "F" if header.fortran_order else "C"
    array = np.frombuffer(data, header.dtype, offset=header.start).reshape(header.shape, order=order)
    return np.array(array, dtype=header.dtype.newbyteorder("="), order="C")


def npy_header(data: bytes, size: int, name: str) -> NpyHeader:
    """Return the header in the first `MOST_BEFORE` bytes of a .npy file of `size` bytes. Raises: BadInput, as above."""
    header, start = _header(data, name)
    descr = re.search(r"""['"]descr['"]\s*:\s*['"]([<>|=]?)([a-zA-Z])(\d+)['"]""", header)
    order = re.search(r"""['"]fortran_order['"]\s*:\s*(True|False)\b""", header)
    sizes = re.search(r"""['"]shape['"]\s*:\s*\(([\d\sL,]*)\)""", header)
    if order is None or sizes is None:
        raise BadInput(f"{name}: damaged .npy header; write it again with numpy.save")
    if descr is None or descr[2] not in KINDS or descr[3] not in ("1", "2", "4", "8", "16"):
        raise BadInput(f"{name}: not an array of plain numbers; write it again as float32 in [0, 1], with numpy.save")
    shape = tuple(int(size) for size in re.findall(r"\d{1,18}", sizes[1]))
    try:
        dtype = np.dtype("".join(descr.groups()))
    except TypeError as error:
        raise BadInput(
            f"{name}: no numbers of type {''.join(descr.groups())} are known; write it as float32"
        ) from error
    found = NpyHeader(dtype, shape, order[1] == "True", start)
    if size - start != found.n_bytes:
        fault = "truncated" if size - start < found.n_bytes else "overlong"
        raise BadInput(f"{name}: {fault}: {size - start} bytes of data, its shape {shape} needs {found.n_bytes}")
    return found


def _header(data: bytes, name: str) -> tuple[str, int]:
    """Return the header, a Python dictionary in text, and where the numbers begin."""
    prefix = LENGTHS.get(data[6]) if len(data) > 12 else None
    if prefix is None:
        raise BadInput(f"{name}: damaged .npy file, or of an unknown version; write it again with numpy.save")
    begin = 8 + struct.calcsize(prefix)
    (length,) = struct.unpack(prefix, data[8:begin])
    if length > min(LONGEST_HEADER, len(data) - begin):
        raise BadInput(f"{name}: damaged .npy file: its header should have {length} characters; write it again")
    return data[begin : begin + length].decode("latin-1"), begin + length
