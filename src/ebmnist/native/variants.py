"""What the C++ is compiled into: one library for each level of instructions. The build hook reads this file too.

It imports nothing but the standard library, for the hook runs where PyTorch may not be.
"""

import hashlib
import platform
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = sorted((*FOLDER.glob("*.h"), *FOLDER.glob("*.hpp"), *FOLDER.glob("*.cpp")))
LIBRARIES = FOLDER / "lib"
SUMS = "SHA256SUMS"  # beside the libraries: what each of them has to be

# Not -ffast-math: a NaN has to stay one, for the guard to see it.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden")
LINK = ("-shared", "-fPIC", "-pthread")

# Of each kind of processor, from what all of them execute to what the newest do. The levels are the x86-64 psABI's.
_X86_64: dict[str, tuple[str, ...]] = {
    "x86-64": ("-march=x86-64",),
    "x86-64-v3": ("-march=x86-64-v3",),
    "x86-64-v4": ("-march=x86-64-v4",),
    "x86-64-v4-bf16": ("-march=x86-64-v4", "-mavx512bf16"),
}
_AARCH64: dict[str, tuple[str, ...]] = {"aarch64": ("-march=armv8-a",)}
_VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": _X86_64,
    "amd64": _X86_64,
    "aarch64": _AARCH64,
    "arm64": _AARCH64,
}


def variants(machine: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return name -> compiler flags for this kind of processor, or for `machine`, as `uname -m` names it."""
    name = (machine or platform.machine()).lower()
    return _VARIANTS.get(name, {name: ()})


def library_path(variant: str, folder: Path = LIBRARIES) -> Path:
    """Where the library of a variant lies."""
    return folder / f"engine-{variant}.so"


def digest() -> str:
    """Return the SHA-256 of the C++ beside this file, in hexadecimal; empty where there is none."""
    if not SOURCES:
        return ""
    total = hashlib.sha256()
    for source in SOURCES:
        total.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return total.hexdigest()


def command(compiler: list[str], variant: str, flags: tuple[str, ...], out: Path) -> list[str]:
    """Return the command that compiles the library of `variant` into `out`."""
    names = (f'-DEBMNIST_DIGEST="{digest()}"', f'-DEBMNIST_VARIANT="{variant}"')
    return [*compiler, *FLAGS, *flags, *LINK, *names, "-o", str(out), str(FOLDER / "ebmnist.cpp")]
