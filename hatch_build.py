"""Compile the C++ of `src/ebmnist/native` when the package is installed: hatchling's hook, and `python hatch_build.py`.

Without a compiler the package is installed all the same, and its chains run in PyTorch.

Wheels for PyPI carry the libraries. `python hatch_build.py wheels` makes one for each platform on one machine. With
EBMNIST_TARGET set the hook compiles for that platform, by the compiler in PyPI's package `ziglang`.
"""

import hashlib
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, where hatchling need not be
    BuildHookInterface = object

# By path: importing the package would import PyTorch, which is not there yet.
ENGINE = runpy.run_path(str(Path(__file__).parent / "src/ebmnist/native/variants.py"))


class Target(NamedTuple):
    """A platform that has a wheel on PyPI."""

    machine: str  # as `uname -m` names it
    tag: str  # of the wheel
    flags: tuple[str, ...]  # zig's name for it, with the oldest system that the libraries run on


# -Bsymbolic: the C++ library is linked in, and is not to be mixed with the one that PyTorch has loaded.
TARGETS = {
    "linux-x86_64": Target("x86_64", "manylinux_2_28_x86_64", ("-target", "x86_64-linux-gnu.2.28", "-Wl,-Bsymbolic")),
    "linux-aarch64": Target(
        "aarch64", "manylinux_2_28_aarch64", ("-target", "aarch64-linux-gnu.2.28", "-Wl,-Bsymbolic")
    ),
    "macos-arm64": Target("arm64", "macosx_11_0_arm64", ("-target", "aarch64-macos.11.0")),
    "windows-amd64": Target("amd64", "win_amd64", ("-target", "x86_64-windows-gnu")),
}
ZIG = ("-m", "ziglang", "c++")
ZIG_CPU = {  # its names for the levels of instructions in variants.py
    "x86-64": "x86_64",
    "x86-64-v3": "x86_64_v3",
    "x86-64-v4": "x86_64_v4",
    "x86-64-v4-bf16": "x86_64_v4+avx512bf16",
    "aarch64": "generic",
}


class CompileEngine(BuildHookInterface):
    """What hatchling calls before it makes a wheel, an editable one included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the libraries taken into the wheel, which is then this platform's, or EBMNIST_TARGET's."""
        name = os.environ.get("EBMNIST_TARGET", "")
        if version == "editable":
            compile_all()
        elif name:
            self.aside = tempfile.TemporaryDirectory()  # what is compiled for this machine stays as it is
            libraries = cross_compile(name, Path(self.aside.name))
            build_data["force_include"] |= {str(path): f"ebmnist/native/lib/{path.name}" for path in libraries}
            is_of(TARGETS[name].tag, build_data)
        elif compile_all():
            build_data["artifacts"] += ["/src/ebmnist/native/lib/*"]
            is_of(sysconfig.get_platform().replace("-", "_").replace(".", "_"), build_data)


def is_of(platform: str, build_data: dict[str, Any]) -> None:
    """Say that the wheel is of one platform, and of any Python 3."""
    build_data["pure_python"] = False
    build_data["tag"] = f"py3-none-{platform}"


def make_wheels(names: list[str]) -> None:
    """Make a wheel for each of these targets, in dist/."""
    from hatchling.build import build_wheel

    for name in names:
        os.environ["EBMNIST_TARGET"] = name
        sys.stderr.write(f"ebmnist: dist/{build_wheel('dist')}\n")


def cross_compile(name: str, folder: Path) -> list[Path]:
    """Compile all variants of a target into `folder`; return what a wheel holds of it.

    Raises:
        SystemExit: there is no such target, or a variant did not compile.
    """
    if name not in TARGETS:
        raise SystemExit(f"EBMNIST_TARGET={name!r} is unknown: use one of {', '.join(TARGETS)}")
    variants = ENGINE["variants"](TARGETS[name].machine)
    with tempfile.TemporaryDirectory(dir=folder) as aside, ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = pool.map(lambda variant: cross_compile_one(TARGETS[name], variant, Path(aside)), variants)
        for variant, error in zip(variants, errors, strict=True):
            if error:
                raise SystemExit(f"ebmnist: {variant} for {name}: {error}")
        keep({v: ENGINE["library_path"](v, Path(aside)) for v in variants}, folder)
    return [path for path in folder.iterdir() if path.is_file()]


def cross_compile_one(target: Target, variant: str, folder: Path) -> str:
    """Compile and link one variant; return why it failed in one line, or nothing.

    In two steps, as zig compiles the C++ library anew for each -mcpu that it links for: one is enough.
    """
    zig, compiled = [sys.executable, *ZIG, *target.flags], folder / f"{variant}.o"
    baseline = ZIG_CPU[next(iter(ENGINE["variants"](target.machine)))]
    link = [*zig, "-O3", f"-mcpu={baseline}", "-s", *ENGINE["LINK"]]
    out = ENGINE["library_path"](variant, folder)
    error = compile_one(zig, variant, (f"-mcpu={ZIG_CPU[variant]}", "-c"), compiled)
    return error or run([*link, "-o", str(out), str(compiled)], out)


def compile_all(folder: Path = ENGINE["LIBRARIES"]) -> list[str]:
    """Compile each variant that the first working compiler can; return their names, and say what came of it.

    Whatever else is in `folder` is deleted: a library of older sources would be refused when it is loaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    variants, failures, made = ENGINE["variants"](), ["no C++ compiler found (g++ or clang++)"], {}
    with tempfile.TemporaryDirectory(dir=folder) as aside, ThreadPoolExecutor(os.cpu_count()) as pool:
        for compiler in compilers():
            baseline, *others = variants
            error = compile_here(compiler, baseline, Path(aside))
            if error:
                failures.append(f"{compiler[0]}: {error}")
                continue
            errors = pool.map(lambda variant, by=compiler: compile_here(by, variant, Path(aside)), others)
            failed = {variant: error for variant, error in zip(others, errors, strict=True) if error}
            made = {v: ENGINE["library_path"](v, Path(aside)) for v in variants if v not in failed}
            failures = [f"not {variant}: {error}" for variant, error in failed.items()]
            break
        keep(made, folder)
    what = (
        f"compiled {', '.join(made)}" if made else "goes without its compiled engine, and will be several times slower"
    )
    sys.stderr.write(f"ebmnist: {'; '.join([what, *failures[-2:]])}\n")
    return list(made)


def compilers() -> list[list[str]]:
    """Return the commands to try: that of CXX, which may be several words, then the usual ones; those that exist."""
    commands = [shlex.split(os.environ.get("CXX", "")), ["g++"], ["clang++"], ["c++"]]
    return [command for command in commands if command and shutil.which(command[0])]


def compile_here(compiler: list[str], variant: str, folder: Path) -> str:
    """Compile one variant of this machine into `folder`; return why it failed in one line, or nothing."""
    return compile_one(compiler, variant, ENGINE["variants"]()[variant], ENGINE["library_path"](variant, folder))


def compile_one(compiler: list[str], variant: str, flags: tuple[str, ...], out: Path) -> str:
    """Compile one variant into `out`; return why it failed in one line, or nothing."""
    return run(ENGINE["command"](compiler, variant, flags, out), out)


def run(command: list[str], out: Path) -> str:
    """Run a command that makes `out`; return why it failed in one line, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0 and out.is_file():
        return ""
    said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    return said[0][:200] if said else f"exit code {done.returncode}"


def keep(made: dict[str, Path], folder: Path) -> None:
    """Move the libraries into `folder`, each whole or not at all, with their checksums; delete what else is there."""
    aside = {path.parent for path in made.values()}
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in made.values())
    names = {path.name for path in made.values()}
    for path in made.values():
        path.replace(folder / path.name)
    for parent in aside:
        (parent / ENGINE["SUMS"]).write_text(sums, encoding="ascii")
        (parent / ENGINE["SUMS"]).replace(folder / ENGINE["SUMS"])
        names.add(ENGINE["SUMS"])
    for path in folder.iterdir():
        if path.is_file() and path.name not in names:
            path.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["wheels"]:
        make_wheels(sys.argv[2:] or list(TARGETS))
    else:
        compile_all()
