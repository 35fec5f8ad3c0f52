"""The .npy file format, read without evaluating its header: plain numbers of any byte and index order."""

import math
import re
import struct

import numpy as np
import numpy.typing as npt

from ebmnist.errors import BadInput

NPY = b"\x93NUMPY"
LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # of the header, by the format's version
LONGEST_HEADER = 10_000  # characters
KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


def read_npy(data: bytes, name: str) -> npt.NDArray[np.generic]:
    """Return the array in the bytes of a .npy file, in this machine's byte order.

    Raises:
        BadInput: damaged, cut short, of objects, text or records, or of numbers of an unusual width.
    Source: NumPy's NEP 1 and the documentation of `numpy.lib.format`.
    """
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
    needed = math.prod(shape) * dtype.itemsize
    if len(data) - start != needed:
        fault = "truncated" if len(data) - start < needed else "overlong"
        raise BadInput(f"{name}: {fault}: {len(data) - start} bytes of data, its shape {shape} needs {needed}")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if order[1] == "True" else "C")
    return np.array(array, dtype=dtype.newbyteorder("="), order="C")


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
