"""The build hook: what compiles, what is kept, and installing without a compiler."""

import importlib.util
import os
import runpy
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ebmnist
from ebmnist.native.build import load
from ebmnist.native.variants import SUMS, variants
from native_driver import missing, needs

ROOT = Path(ebmnist.__file__).parents[2]
BASELINE = next(iter(variants()))


@pytest.fixture
def hook(monkeypatch):
    """What hatch_build.py defines, with the baseline as the only variant: the others are compiled alike."""
    defined = runpy.run_path(str(ROOT / "hatch_build.py"))
    monkeypatch.setitem(defined["ENGINE"], "variants", lambda: {BASELINE: variants()[BASELINE]})
    monkeypatch.delenv("CXX", raising=False)
    return defined


def script(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_what_is_compiled_can_be_loaded_and_what_else_was_there_is_gone(hook, tmp_path, capsys):
    needs("g++")
    (tmp_path / "engine-older.so").write_bytes(b"x")
    assert hook["compile_all"](tmp_path) == [BASELINE]
    assert sorted(p.name for p in tmp_path.iterdir()) == [SUMS, f"engine-{BASELINE}.so"]
    assert load(BASELINE, tmp_path).variant().decode() == BASELINE
    assert capsys.readouterr().err == f"ebmnist: compiled {BASELINE}\n"


def test_a_compiler_of_several_words_is_called_with_all_of_them(hook, tmp_path, monkeypatch):
    script(
        tmp_path,
        "ccache",
        f'echo "$@" > {tmp_path}/said',
        "touch",
        'for out; do [ "$last" = -o ] && touch "$out"; last=$out; done',
    )
    monkeypatch.setenv("CXX", f"{tmp_path}/ccache g++ -DX='a b'")
    assert hook["compile_all"](tmp_path / "lib") == [BASELINE]
    assert (tmp_path / "said").read_text().startswith("g++ -DX=a b -std=c++17")


@pytest.mark.parametrize("cxx", ["/bin/false", "/nowhere/g++", "", "false and more"])
def test_a_compiler_that_fails_is_followed_by_the_usual_ones(hook, tmp_path, monkeypatch, cxx):
    script(tmp_path, "g++", 'for out; do [ "$last" = -o ] && touch "$out"; last=$out; done')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CXX", cxx)
    assert hook["compile_all"](tmp_path / "lib") == [BASELINE]


@pytest.mark.parametrize("why", ["none", "failing"])
def test_without_a_compiler_that_works_one_line_says_so(hook, tmp_path, monkeypatch, capsys, why):
    if why == "failing":
        for name in ("g++", "clang++", "c++"):
            script(tmp_path, name, "echo 'x.cpp:1: error: no such thing' >&2", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / f"engine-{BASELINE}.so").write_bytes(b"of older sources")
    assert hook["compile_all"](tmp_path / "lib") == []
    assert list((tmp_path / "lib").iterdir()) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert "goes without its compiled engine" in line
    assert ("no such thing" if why == "failing" else "no C++ compiler found") in line


def test_a_wheel_holds_the_libraries_and_is_the_platforms(tmp_path):
    code = "import runpy, sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    if importlib.util.find_spec("hatchling") is None:
        missing("hatchling, of the dev extra")
    # A compiler that is quick: what it makes is not looked at.
    script(tmp_path, "c++11", 'for out; do [ "$last" = -o ] && echo it > "$out"; last=$out; done')
    tree = tmp_path / "tree"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", str(tree)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "CXX": str(tmp_path / "c++11")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"ebmnist/native/lib/engine-{v}.so" for v in variants()} <= set(names)
    assert {f"ebmnist/native/lib/{SUMS}", "ebmnist/native/engine.h", "ebmnist/native/ebmnist.cpp"} <= set(names)
    assert "py3-none-" in wheel.name
    assert not wheel.name.endswith("any.whl")


def test_ci_fails_where_a_native_path_cannot_be_tested(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-compiler: not installed"):
        needs("no-such-compiler")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no-such-compiler: not installed"):
        needs("no-such-compiler")
