"""Which library is loaded: the best whole one of these sources, or PyTorch and one line that says why."""

import logging
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch

from ebmnist.energies import ConvNet
from ebmnist.energies.fast import native_net_of
from ebmnist.errors import BadInput
from ebmnist.native import engine, library
from ebmnist.native.build import Unusable, _once, find, load
from ebmnist.native.variants import LIBRARIES, SUMS, library_path, variants
from native_driver import runnable

BEST, BASELINE = runnable()[-1], runnable()[0]


@pytest.fixture(autouse=True)
def _decided_anew():
    """What a test has decided about the library is forgotten after it."""
    yield
    library.cache_clear()


@pytest.fixture
def copy(tmp_path):
    """A folder of the installed libraries, to be spoilt."""
    return shutil.copytree(LIBRARIES, tmp_path / "lib")


def damage(folder, variant, change):
    path = library_path(variant, folder)
    content = change(path.read_bytes())
    path.unlink()  # the loader may have the file itself mapped
    path.write_bytes(content)
    return path


def foreign(folder, variant, code):
    """Another library in the place of a variant's, with a checksum that is right."""
    path = library_path(variant, folder)
    path.unlink()
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path)]
    subprocess.run(command, input=code, text=True, check=True)
    subprocess.run(f"sha256sum *.so > {SUMS}", shell=True, cwd=folder, check=True)


SPOILT = {
    "truncated": lambda content: content[:100],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"\xab" * len(content),
    "empty": lambda _: b"",
    "one bit": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
}


def test_the_engine_in_use_has_a_name():
    assert library() is not None
    assert engine() in runnable()
    assert library().variant().decode() == engine()


@pytest.mark.parametrize("variant", runnable())
def test_each_variant_can_be_asked_for(variant):
    found = find(variant)
    assert (found.name, found.functions.variant().decode()) == (variant, variant)


FLAGS_OF_LINUX = {  # /proc/cpuinfo's names of what a level needs
    "x86-64-v3": "avx avx2 fma bmi1 bmi2 f16c movbe abm",
    "x86-64-v4": "avx avx2 fma bmi1 bmi2 f16c movbe abm avx512f avx512bw avx512cd avx512dq avx512vl",
    "x86-64-v4-bf16": "avx2 fma avx512f avx512bw avx512cd avx512dq avx512vl avx512_bf16",
}


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or BASELINE != "x86-64", reason="x86-64 Linux tells what it has")
def test_the_processor_has_what_the_system_says():
    told = Path("/proc/cpuinfo").read_text()
    flags = set(next(line for line in told.splitlines() if line.startswith("flags")).split())
    assert runnable()[1:] == [name for name, needed in FLAGS_OF_LINUX.items() if set(needed.split()) <= flags]
    assert bool(find("").on_amd) == ("AuthenticAMD" in told)


def test_without_a_wish_it_is_the_best(copy):
    assert find("").name == find("1").name == BEST
    for variant in runnable()[1:]:
        library_path(variant, copy).unlink()  # as a compiler leaves it that does not know the instructions
    assert find("", copy).name == BASELINE


def test_zero_asks_for_torch(caplog):
    found = find("0")
    assert found.functions is None
    assert "PyTorch" in found.name
    assert not caplog.records


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_library_is_never_loaded(copy, change, caplog):
    damage(copy, BASELINE, change)
    found = find("", copy)
    assert found.functions is None
    assert "damaged" in found.name
    with pytest.raises(BadInput, match="cannot be used"):
        find(BASELINE, copy)
    assert not caplog.records  # `library` says it, once


@pytest.mark.skipif(BEST == BASELINE, reason="one variant alone runs here")
def test_the_next_best_takes_the_place_of_a_spoilt_one(copy, caplog):
    damage(copy, BEST, SPOILT["cut in the middle"])
    assert find("", copy).name == runnable()[-2]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    with pytest.raises(BadInput, match="damaged"):
        find(BEST, copy)


@pytest.mark.parametrize("code", ["int nothing;", 'extern "C" int abi() { return 99; }'])
def test_another_programs_library_is_not_used(copy, code):
    foreign(copy, BASELINE, code)
    assert "cannot be loaded" in find("", copy).name


@pytest.mark.skipif(BEST == BASELINE, reason="one variant alone runs here")
def test_a_variant_under_another_ones_name_is_not_used(copy):
    shutil.copy(library_path(BEST, copy), library_path(BASELINE, copy))
    subprocess.run(f"sha256sum *.so > {SUMS}", shell=True, cwd=copy, check=True)
    with pytest.raises(Unusable, match="another kind of processor"):
        load(BASELINE, copy)


def test_a_library_of_older_sources_is_not_used(monkeypatch):
    monkeypatch.setattr("ebmnist.native.build.digest", lambda: "0" * 64)
    assert "python hatch_build.py" in find("").name
    monkeypatch.setattr("ebmnist.native.build.digest", lambda: "")  # an installation without the sources
    assert find("").name == BEST


def test_no_library_at_all_is_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("EBMNIST_NATIVE", raising=False)
    monkeypatch.setattr("ebmnist.native.build.find", lambda asked: find(asked, tmp_path))
    monkeypatch.setattr("ebmnist.native.build._once", cache(_once.__wrapped__))
    library.cache_clear()
    assert library() is None
    assert library() is None
    assert "no compiled engine" in engine()
    (record,) = caplog.records
    assert "several times slower" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize("asked", ["avx", "x86-64-v5", "X86-64", " "])
def test_an_unknown_variant_is_bad_input(asked):
    with pytest.raises(BadInput, match="unknown: use 0 for PyTorch, or one of") as raised:
        find(asked)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(len(variants()) == 1, reason="there is one variant of this processor")
def test_a_variant_beyond_this_processor_is_bad_input(monkeypatch):
    best = list(variants())[-1]
    monkeypatch.setattr("ebmnist.native.build.NEEDS", {best: 1 << 30})
    with pytest.raises(BadInput, match="this processor cannot run that"):
        find(best)
    assert find("").name != best


@pytest.mark.parametrize("n", [1, 40])
def test_every_installed_variant_says_the_same(n, monkeypatch):
    x, energy, values = torch.rand(n, 1, 28, 28), ConvNet(4), []
    for variant in runnable():
        found = find(variant)
        monkeypatch.setattr("ebmnist.native.build._loaded", lambda found=found: found)
        library.cache_clear()
        values.append(native_net_of(energy, low_precision=False).energy(x))
    for value in values:
        torch.testing.assert_close(value, values[0], atol=5e-7, rtol=1e-6)


def test_a_file_system_that_allows_no_programs_is_no_crash(copy):
    if (
        os.getuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(copy)], check=False).returncode
    ):
        pytest.skip("mounting is not allowed here")
    try:
        shutil.copytree(LIBRARIES, copy, dirs_exist_ok=True)
        assert "cannot be loaded" in find("", copy).name
    finally:
        subprocess.run(["umount", "--lazy", str(copy)], check=True)
