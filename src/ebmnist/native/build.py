"""Compile the C++ beside this file once per processor and compiler, keep it in the user's cache, load it."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from pooch.utils import os_cache

log = logging.getLogger("ebmnist")

SOURCES = sorted(Path(__file__).parent.glob("*.[ch]pp"))
# Not -ffast-math: a NaN has to stay one, for the guard to see it.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
LINK = ("-shared", "-fPIC", "-pthread", "-w")


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled functions; None where EBMNIST_NATIVE=0 asks for PyTorch, or where nothing can compile them.

    The first call on a machine compiles for some seconds, and says so; later processes find the result in the cache.
    It compiles however little there is to do: were short jobs left to PyTorch until then, whose random numbers are
    others, what a seed gives would depend on what this machine has run before.
    """
    if os.environ.get("EBMNIST_NATIVE") == "0":
        return None
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++", "c++"))), None)
    if compiler is None:
        log.warning("no C++ compiler found (g++ or clang++): chains run in PyTorch, several times slower")
        return None
    try:
        path = _built(compiler)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        log.warning("the Langevin loop did not compile, so chains run in PyTorch, several times slower: %s", said)
        return None
    functions = ctypes.CDLL(str(path))
    functions.pack.restype = ctypes.c_void_p
    return functions


@cache
def bf16_is_fast() -> bool:
    """Whether products of bfloat16 pairs are twice as fast as float32 ones: on AMD's AVX512_BF16; not on Intel's."""
    functions = library()
    return functions is not None and bool(functions.has_bf16()) and "AuthenticAMD" in _processor()


def _built(compiler: str) -> Path:
    """Return the library for these sources, this compiler and this processor, compiling it if the cache has none."""
    key = hashlib.sha256()
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    for part in (version, _processor().encode(), " ".join(FLAGS + LINK).encode(), *(s.read_bytes() for s in SOURCES)):
        key.update(part)
    path = Path(os_cache("ebmnist")) / f"native-{key.hexdigest()[:16]}.so"
    if path.is_file():
        return path
    log.info("compiling the Langevin loop for this processor, once: a few seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        main = next(s for s in SOURCES if s.suffix == ".cpp")
        subprocess.run(
            [compiler, *FLAGS, *LINK, "-o", str(made), str(main)], capture_output=True, check=True, text=True
        )
        made.replace(path)  # whole or not at all, whoever else compiles it now
    return path


def _processor() -> str:
    """What tells this processor's instructions from another's."""
    described = Path("/proc/cpuinfo")
    if not described.is_file():
        return f"{platform.machine()} {platform.processor()}"
    first = described.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.split("\t")[0] in ("vendor_id", "model name", "flags", "Features"))
