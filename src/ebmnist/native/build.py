"""Which of the built libraries runs here: found, checked and loaded once a process."""

import ctypes
import hashlib
import logging
import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from ebmnist.errors import BadInput
from ebmnist.native.interface import ABI, IS_AMD, NEEDS, declare
from ebmnist.native.variants import LIBRARIES, SUMS, digest, library_path, variants

log = logging.getLogger("ebmnist")
_loading = Lock()


class Engine(NamedTuple):
    """A loaded library, or why there is none."""

    name: str  # of the variant; where there is none, the reason
    functions: ctypes.CDLL | None = None
    on_amd: bool = False


class Unusable(Exception):
    """A library that is not loaded; the message says why."""


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled functions; None where EBMNIST_NATIVE=0 asks for PyTorch, or where nothing compiled runs here.

    The first call decides; `library.cache_clear()` has the next one ask EBMNIST_NATIVE again.

    Raises:
        BadInput: EBMNIST_NATIVE names a variant that there is not, or that cannot be used here.
    """
    return _loaded().functions


def engine() -> str:
    """Name the compiled variant in use, such as x86-64-v3, or say why there is none.

    Raises:
        BadInput: as `library`.
    """
    return _loaded().name


def bf16_is_fast() -> bool:
    """Whether products of bfloat16 pairs are twice as fast as float32 ones: on AMD's AVX512_BF16; not on Intel's."""
    found = _loaded()
    return found.functions is not None and bool(found.functions.has_bf16()) and found.on_amd


def _loaded() -> Engine:
    with _loading:  # threads that begin together find one library, and one warning
        return _once(os.environ.get("EBMNIST_NATIVE", ""))


@cache
def _once(asked: str) -> Engine:
    found = find(asked)
    if found.functions is None and asked != "0":
        log.warning("chains run in PyTorch, several times slower: %s", found.name)
    return found


def find(asked: str, folder: Path = LIBRARIES) -> Engine:
    """Load the best library in `folder` that this processor runs, or the one that is asked for.

    Args:
        asked: empty or 1 for the best, 0 for none, or the name of a variant.
        folder: where the build hook has put the libraries.

    Raises:
        BadInput: a variant that there is not, or that cannot be used here.
    """
    if asked == "0":
        return Engine("EBMNIST_NATIVE=0 asks for PyTorch")
    names = list(variants())
    if asked not in ("", "1", *names):
        raise BadInput(f"EBMNIST_NATIVE={asked!r} is unknown: use 0 for PyTorch, or one of {', '.join(names)}")
    try:
        baseline = load(names[0], folder)
    except Unusable as error:
        return _refused(
            asked, f"{error}; install g++ or clang++, then ebmnist again with pip install --force-reinstall --no-deps"
        )
    processor = baseline.processor()
    runs = [name for name in names if NEEDS.get(name, 0) & processor == NEEDS.get(name, 0)]
    if asked in names and asked not in runs:
        raise BadInput(f"EBMNIST_NATIVE={asked}: this processor cannot run that; use one of {', '.join(runs)}")
    for name in [asked] if asked in names else reversed(runs):
        if not library_path(name, folder).exists() and name != asked:
            continue  # the compiler did not know these instructions, as the installation said
        try:
            return Engine(name, baseline if name == names[0] else load(name, folder), bool(processor & IS_AMD))
        except Unusable as error:
            _refused(asked, str(error))
            log.warning("the compiled engine %s is passed over for a slower one: %s", name, error)
    raise AssertionError("the baseline has been loaded before")


def load(name: str, folder: Path = LIBRARIES) -> ctypes.CDLL:
    """Load the library of one variant, whole, of these sources and with the entries that are expected.

    Raises:
        Unusable: there is none, or not such a one.
    """
    path = library_path(name, folder)
    try:
        # The loader would run into a truncated file's missing pages, and the process would die of it.
        whole = hashlib.sha256(path.read_bytes()).hexdigest()
        listed = dict(line.split()[::-1] for line in (folder / SUMS).read_text(encoding="ascii").splitlines())
        if listed.get(path.name) != whole:
            raise Unusable(f"{path} is damaged: its checksum is not the one in {SUMS}")
        functions = ctypes.CDLL(str(path))
        declare(functions)
    except FileNotFoundError as error:
        raise Unusable(f"there is no compiled engine {Path(error.filename).name} in {folder}") from error
    except (OSError, ValueError, AttributeError) as error:  # ValueError: SUMS is no list of checksums
        raise Unusable(f"{path} cannot be loaded: {error}") from error
    if functions.abi() != ABI or functions.variant() != name.encode():
        raise Unusable(f"{path} is of another version of ebmnist, or of another kind of processor")
    if digest() not in ("", functions.digest().decode()):
        raise Unusable(f"{path} is not of the C++ beside it: compile that with python hatch_build.py")
    functions.share_by(openmp())
    return functions


def openmp() -> ctypes.c_void_p | None:
    """Where GOMP_parallel is, of the OpenMP whose threads PyTorch uses; None where it is not for all to see."""
    if os.name != "posix":
        return None
    found = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return None if found is None else ctypes.cast(found, ctypes.c_void_p)


def _refused(asked: str, reason: str) -> Engine:
    """There is none; raises `BadInput` if one was asked for by name."""
    if asked in variants():
        raise BadInput(f"EBMNIST_NATIVE={asked} cannot be used: {reason}")
    return Engine(reason)
