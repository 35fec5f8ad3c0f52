"""Millions of names in little memory: bytes of one length each, in one array."""

import os
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ebmnist.output import escaped

AT_ONCE = 2**16  # names that are Python objects at a time

Names = npt.NDArray[np.bytes_]


def packed(names: Iterable[str]) -> Names:
    """Return names, (N,), as the bytes of their file system, each as long as the longest."""
    parts: list[Names] = []
    some: list[bytes] = []
    for name in names:
        some.append(os.fsencode(name))
        if len(some) == AT_ONCE:
            parts.append(np.array(some))
            some = []
    return np.concatenate([*parts, np.array(some, "S")])


def shown(name: bytes) -> str:
    """Return a packed name as text of one line."""
    return escaped(os.fsdecode(name))
