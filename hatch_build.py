"""Compile the C++ of `src/ebmnist/native` when the package is installed: hatchling's hook, and `python hatch_build.py`.

Without a compiler the package is installed all the same, and its chains run in PyTorch.
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
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, where hatchling need not be
    BuildHookInterface = object

# By path: importing the package would import PyTorch, which is not there yet.
ENGINE = runpy.run_path(str(Path(__file__).parent / "src/ebmnist/native/variants.py"))


class CompileEngine(BuildHookInterface):
    """What hatchling calls before it makes a wheel, an editable one included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the libraries taken into the wheel, which is then this platform's."""
        made = compile_all()
        if made and version != "editable":
            build_data["artifacts"] += ["/src/ebmnist/native/lib/*"]
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"


def compile_all(folder: Path = ENGINE["LIBRARIES"]) -> list[str]:
    """Compile each variant that the first working compiler can; return their names, and say what came of it.

    Whatever else is in `folder` is deleted: a library of older sources would be refused when it is loaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    variants, failures, made = ENGINE["variants"](), ["no C++ compiler found (g++ or clang++)"], {}
    with tempfile.TemporaryDirectory(dir=folder) as aside, ThreadPoolExecutor(os.cpu_count()) as pool:
        for compiler in compilers():
            baseline, *others = variants
            error = compile_one(compiler, baseline, Path(aside))
            if error:
                failures.append(f"{compiler[0]}: {error}")
                continue
            errors = pool.map(lambda variant, by=compiler: compile_one(by, variant, Path(aside)), others)
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


def compile_one(compiler: list[str], variant: str, folder: Path) -> str:
    """Compile one variant into `folder`; return why it failed in one line, or nothing."""
    out = ENGINE["library_path"](variant, folder)
    command = ENGINE["command"](compiler, variant, ENGINE["variants"]()[variant], out)
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
    compile_all()
