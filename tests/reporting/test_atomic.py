import errno
import os
import re
from pathlib import Path

import pytest

from ebmnist.errors import BadInput
from ebmnist.reporting.atomic import (
    REPLACED,
    TEMPORARY,
    check_writable,
    remove_folder,
    standing,
    sweep,
    warn_once,
    write_file,
    write_folder,
)


def test_file_and_folder_are_written_and_replaced_and_nothing_else_stays(tmp_path):
    for text in ("one", "two, ℝ"):
        write_file(tmp_path / "f", text)
        write_folder(tmp_path / "d", {"a": text.encode(), text: b"\0"})
        assert (tmp_path / "f").read_text(encoding="utf-8") == text
        assert {p.name: p.read_bytes() for p in (tmp_path / "d").iterdir()} == {
            "a": text.encode(),
            text: b"\0",
        }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "f"]


def outcome(write):
    """What a write says: None if it is done, or the reason inside its one line of refusal."""
    try:
        write()
    except BadInput as error:
        return re.fullmatch(r"\S+: not written \(([^)\n]+)\); free some space there", str(error))[1]


@pytest.mark.parametrize("call", range(6))
@pytest.mark.parametrize("name", ["fsync", "rename", "replace", "open"])
def test_a_refusal_at_any_call_leaves_the_old_or_the_new_whole(tmp_path, monkeypatch, name, call):
    write_file(tmp_path / "f", "old")
    write_folder(tmp_path / "d", {"a": b"old", "b": b"old"})
    real, calls = getattr(os, name), []

    def refuse(*args, **kwargs):
        calls.append(args)
        if len(calls) == call + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    for write, read in (
        (lambda: write_file(tmp_path / "f", "new"), lambda: {(tmp_path / "f").read_text()}),
        (
            lambda: write_folder(tmp_path / "d", {"a": b"new", "b": b"new"}),
            lambda: {p.read_text() for p in (tmp_path / "d").iterdir()},
        ),
    ):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            said = outcome(write)
        # Only to clear away what has been replaced may fail in silence: the next writer sweeps it.
        reached = len(calls) > call and REPLACED not in str(calls[call][0])
        assert said == ("No space left on device" if reached else None)
        assert read() in ({"old"}, {"new"})
        assert said or read() == {"new"}
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(TEMPORARY)]


def test_a_replaced_folder_stands_in_until_the_new_one_does(tmp_path):
    (tmp_path / f"{REPLACED}a").mkdir()
    assert standing(tmp_path) == {"a": tmp_path / f"{REPLACED}a"}
    (tmp_path / "a").mkdir()
    (tmp_path / f"{TEMPORARY}b-1").mkdir()
    assert standing(tmp_path) == {"a": tmp_path / "a"}
    assert standing(tmp_path / "nowhere") == {}


def test_sweep_clears_what_the_dead_left_and_gives_a_name_back(tmp_path):
    for name in (f"{TEMPORARY}a-1", f"{REPLACED}a", f"{REPLACED}b", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "was").write_text(name)
    (tmp_path / f"{TEMPORARY}f-1").write_text("half a fi")
    sweep(tmp_path)
    assert {p.name: (p / "was").read_text() for p in tmp_path.iterdir()} == {
        "a": f"{REPLACED}a",
        "b": "b",
        "c": "c",
    }
    sweep(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [f"{TEMPORARY}f-1", f"{TEMPORARY}d-1", f"{REPLACED}d"])
def test_a_sweep_does_not_mind_that_another_was_quicker(tmp_path, monkeypatch, name):
    if "f" in name:
        (tmp_path / name).write_text("")
    else:
        (tmp_path / name).mkdir()
    iterdir = Path.iterdir

    def overtaken(self):
        found = list(iterdir(self))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", iterdir)
            sweep(self)
        return found

    monkeypatch.setattr(Path, "iterdir", overtaken)
    sweep(tmp_path)
    assert [p.name for p in iterdir(tmp_path)] == (["d"] if name.startswith(REPLACED) else [])


def test_a_file_whose_temporary_is_swept_by_another_process_is_written_all_the_same(tmp_path, monkeypatch):
    replace, calls = Path.replace, []

    def swept_first(self, target):
        if not calls:
            sweep(tmp_path)
        calls.append(self)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", swept_first)
    write_file(tmp_path / "a", "new")
    assert len(calls) == 2
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_remove_folder(tmp_path):
    write_folder(tmp_path / "d", {"a": b""})
    remove_folder(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="No such file"):
        remove_folder(tmp_path / "d")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    write_file(tmp_path / "file", "")
    for write in (
        lambda: write_file(tmp_path / "file" / "f", ""),
        lambda: write_folder(tmp_path / "file" / "d", {}),
        lambda: write_file(Path("/proc/ebmnist"), ""),
    ):
        with pytest.raises(BadInput, match=r"^\S+: not written \([^\n]+\); make it writable or choose [^\n]+$"):
            write()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, 524])
def test_a_file_system_that_cannot_flush_costs_one_warning(tmp_path, monkeypatch, caplog, number):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    warn_once.cache_clear()
    write_file(tmp_path / "f", "new")
    write_folder(tmp_path / "d", {"a": b"new"})
    assert (tmp_path / "f").read_text() == (tmp_path / "d" / "a").read_text() == "new"
    (words,) = caplog.messages
    assert "cannot flush to disk" in words


def test_a_folder_that_may_be_written_and_not_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        write_file(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "new"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "👩" * 63, "a[b]", "-x", "a\nb", "\udcff", " ", "~"])
def test_any_name_that_the_system_takes_is_written(tmp_path, name):
    for text in ("one", "two"):
        write_file(tmp_path / name, text)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "two"


def test_a_folder_is_tried_before_the_work(tmp_path, monkeypatch):
    check_writable(tmp_path)
    check_writable(tmp_path / "nothing")  # whose reader has more to say
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match=r"^/proc: not written \([^\n]+\); [^\n]+$"):
        check_writable(Path("/proc"))

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", read_only)
    with pytest.raises(BadInput, match="Read-only file system"):
        check_writable(tmp_path)
