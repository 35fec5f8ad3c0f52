"""Compiled once, kept, and done without where that cannot be: never in silence."""

import logging

import pytest

from ebmnist.native import build, library


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """`library` with nothing remembered and an empty cache."""
    monkeypatch.setattr(build, "os_cache", lambda _: tmp_path)
    monkeypatch.delenv("EBMNIST_NATIVE", raising=False)
    return build.library.__wrapped__


def test_it_can_be_switched_off(monkeypatch, fresh, caplog):
    monkeypatch.setenv("EBMNIST_NATIVE", "0")
    assert fresh() is None
    assert not caplog.records


def test_without_a_compiler_one_line_says_so(monkeypatch, fresh, caplog):
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    assert fresh() is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "g++" in record.message


@pytest.mark.parametrize("code", ["#error no such instruction\n", None])
def test_what_does_not_compile_is_said_and_done_without(monkeypatch, fresh, tmp_path, caplog, code):
    source = tmp_path / "broken.cpp"
    source.write_text(code or "")
    monkeypatch.setattr(build, "SOURCES", [source])
    if code is None:  # a compiler that cannot be started
        monkeypatch.setattr(build.shutil, "which", lambda _: str(tmp_path / "nowhere"))
    assert fresh() is None
    (record,) = caplog.records
    assert "did not compile" in record.message
    assert [p.name for p in tmp_path.iterdir()] == ["broken.cpp"]


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason="nothing here compiles C++")
def test_it_is_compiled_once_and_announced(fresh, tmp_path, caplog):
    caplog.set_level(logging.INFO, "ebmnist")
    assert fresh() is not None
    assert "compiling" in caplog.text
    (made,) = tmp_path.iterdir()
    caplog.clear()
    stamp = made.stat().st_mtime_ns
    assert fresh() is not None
    assert not caplog.records
    assert made.stat().st_mtime_ns == stamp
