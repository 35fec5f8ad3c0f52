"""The build hook: what compiles, what is kept, and installing without a compiler."""

import importlib.util
import os
import runpy
import shutil
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


@pytest.fixture
def wheel(tmp_path):
    """Make a wheel of a clean copy, by compilers that are quick: what they make is not looked at."""
    if importlib.util.find_spec("hatchling") is None:
        missing("hatchling, of the dev extra")
    tree, code = tmp_path / "tree", "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", str(tree)], check=True)
    shutil.copy(ROOT / "hatch_build.py", tree)
    (tree / "ziglang.py").write_text("import sys; open(sys.argv[sys.argv.index('-o') + 1], 'w').write('it')")
    script(tmp_path, "c++11", 'for out; do [ "$last" = -o ] && echo it > "$out"; last=$out; done')

    def make(**environment):
        environment = {**os.environ, "CXX": str(tmp_path / "c++11"), "PYTHONPATH": str(tree), **environment}
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        (made,) = tmp_path.glob("*.whl")
        return made

    return make


def held(wheel: Path) -> set[str]:
    """The names of a wheel's libraries, beside the list of their checksums and the C++, which have to be there."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"ebmnist/native/lib/{SUMS}", "ebmnist/native/engine.h", "ebmnist/native/ebmnist.cpp"} <= names
    return {n.removeprefix("ebmnist/native/lib/engine-").removesuffix(".so") for n in names if n.endswith(".so")}


def test_a_wheel_holds_the_libraries_and_is_the_platforms(wheel):
    made = wheel()
    assert held(made) == set(variants())
    assert "py3-none-" in made.name
    assert not made.name.endswith("any.whl")


def test_a_wheel_for_another_platform_holds_its_libraries_and_none_of_this_machines(wheel, tmp_path):
    here = tmp_path / "tree/src/ebmnist/native/lib/engine-other.so"
    here.parent.mkdir()
    here.write_text("of this machine")
    made = wheel(EBMNIST_TARGET="macos-arm64")
    assert made.name.endswith("-py3-none-macosx_11_0_arm64.whl")
    assert held(made) == {"aarch64"}
    assert here.read_text() == "of this machine"


@pytest.fixture
def calls(hook, monkeypatch):
    """The commands that the hook would give, in order; each makes its file."""
    given = []

    def run(command, out):
        given.append(command)
        out.write_bytes(b"it")
        return ""

    monkeypatch.setitem(hook["cross_compile"].__globals__, "run", run)
    monkeypatch.setitem(hook["ENGINE"], "variants", variants)
    return given


@pytest.mark.parametrize(
    ("name", "tag", "platform", "cpus"),
    [
        ("linux-x86_64", "manylinux_2_28_x86_64", "x86_64-linux-gnu.2.28", 4),
        ("linux-aarch64", "manylinux_2_28_aarch64", "aarch64-linux-gnu.2.28", 1),
        ("macos-arm64", "macosx_11_0_arm64", "aarch64-macos.11.0", 1),
        ("windows-amd64", "win_amd64", "x86_64-windows-gnu", 4),
    ],
)
def test_each_target_is_compiled_for_every_level_and_linked_with_one_library(
    hook, calls, tmp_path, name, tag, platform, cpus
):
    made = {path.name for path in hook["cross_compile"](name, tmp_path)}
    assert made == {SUMS, *(f"engine-{v}.so" for v in variants(hook["TARGETS"][name].machine))}
    assert hook["TARGETS"][name].tag == tag
    assert all(
        c[:4] == [sys.executable, "-m", "ziglang", "c++"] and c[c.index("-target") + 1] == platform for c in calls
    )
    compiled, linked = ([c for c in calls if ("-c" in c) == compiles] for compiles in (True, False))
    assert len({c[-1] for c in linked}) == len({one(c, "-mcpu=") for c in compiled}) == len(compiled) == cpus
    assert len({one(c, "-mcpu=") for c in linked}) == 1  # all of them run on the oldest processor
    assert all({"-shared", "-s", "-fPIC"} <= set(c) for c in linked)
    assert all("-std=c++17" in c and one(c, "-DEBMNIST_VARIANT=") for c in compiled)


def one(command: list[str], start: str) -> str:
    (word,) = [word for word in command if word.startswith(start)]
    return word


def test_zig_and_gcc_are_told_of_the_same_instructions(hook):
    """What -march and -m say in variants.py, a name of zig's says with _ for - and + for -m."""
    flags = {name: words for machine in ("x86_64", "aarch64") for name, words in variants(machine).items()}
    assert flags.keys() == hook["ZIG_CPU"].keys()
    for name, (march, *more) in flags.items():
        level = march.removeprefix("-march=").replace("armv8-a", "generic").replace("-", "_")
        assert hook["ZIG_CPU"][name] == "+".join([level, *(word.removeprefix("-m") for word in more)])


@pytest.mark.usefixtures("calls")
def test_a_target_that_is_unknown_or_fails_makes_no_wheel(hook, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="use one of linux-x86_64, "):
        hook["cross_compile"]("amiga", tmp_path)
    monkeypatch.setitem(hook["cross_compile"].__globals__, "run", lambda *_: "no such CPU")
    with pytest.raises(SystemExit, match="aarch64 for macos-arm64: no such CPU"):
        hook["cross_compile"]("macos-arm64", tmp_path)
    assert not list(tmp_path.iterdir())


def test_ci_fails_where_a_native_path_cannot_be_tested(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-compiler: not installed"):
        needs("no-such-compiler")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no-such-compiler: not installed"):
        needs("no-such-compiler")
