import errno
import fcntl
import json
import logging
import os

import pytest

from ebmnist.errors import BadInput
from ebmnist.reporting import journal as journal_module
from ebmnist.reporting.atomic import warn_once
from ebmnist.reporting.journal import Journal

LINES = [{"step": i, "loss": i / 3, "word": "ℝ\n\"'"} for i in range(4)]


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    yield journal
    journal.close()


def test_lines_come_back_open_closed_and_reopened(journal):
    assert journal.read() == []
    for n, line in enumerate(LINES, 1):
        journal.append(line)
        assert journal.read() == LINES[:n]
        assert journal.n_lines == n
        if n == 2:
            journal.close()
    assert Journal(journal.path).read() == LINES


def test_a_file_torn_at_any_byte_loses_only_the_torn_line(journal):
    for line in LINES:
        journal.append(line)
    journal.close()
    content = journal.path.read_bytes()
    for size in range(len(content) + 1):
        journal.path.write_bytes(content[:size])
        n_whole = content[:size].count(b"\n")
        assert journal.read() == LINES[:n_whole]
        journal.append({"step": -1})
        assert journal.n_lines == n_whole + 1
        journal.close()
        assert journal.read() == [*LINES[:n_whole], {"step": -1}]


@pytest.mark.parametrize("n_lines", range(6))
@pytest.mark.parametrize("is_open", [True, False])
def test_truncate_keeps_the_first_lines(journal, n_lines, is_open):
    for line in LINES:
        journal.append(line)
    if not is_open:
        journal.close()
    journal.truncate(n_lines)
    assert journal.read() == LINES[:n_lines]
    journal.append({"step": 9})
    assert journal.read() == [*LINES[:n_lines], {"step": 9}]


@pytest.mark.parametrize(
    "damage",
    [
        b"{half\n",
        b"3\n",
        b"\0\0\0\n",
        b"\xff\n",
        b"\n",
        b'{"a": NaN}\n',
        b'{"a": 1, "a": 1}\n',
        b'{"a": ' + b"[" * 100_000 + b"\n",
    ],
)
def test_damage_before_the_end_names_the_line(journal, damage):
    journal.path.write_bytes(b'{"step": 1}\n' + damage + b'{"step": 2}\n')
    with pytest.raises(
        BadInput, match=r"^\S+j.jsonl: line 2: (damaged|expected an object)[^\n]+; mend or delete that line"
    ):
        journal.read()


def test_lines_leave_the_process_within_a_second_of_the_next(journal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: now[0])
    other = Journal(journal.path)
    journal.append(LINES[0])
    journal.flush()
    journal.append(LINES[1])
    assert other.read() == LINES[:1]
    now[0] += 1.5
    journal.append(LINES[2])
    assert other.read() == LINES[:3]
    journal.append(LINES[3])
    assert journal.flush_to_disk() == 4
    assert other.read() == LINES


def test_a_second_writer_is_turned_away_and_a_reader_is_not(journal):
    journal.append(LINES[0])
    journal.flush()
    second = Journal(journal.path)
    for write in (lambda: second.append(LINES[1]), lambda: second.truncate(0)):
        with pytest.raises(BadInput, match=r"another process writes this run; wait for it or stop it$"):
            write()
    assert second.read() == LINES[:1]
    journal.close()
    second.append(LINES[1])
    assert second.read() == LINES[:2]
    second.close()


def test_nothing_but_strict_json_is_written(journal):
    with pytest.raises(ValueError, match="JSON"):
        journal.append({"loss": float("nan")})
    journal.append(LINES[0])
    journal.flush()
    assert [json.loads(line) for line in journal.path.read_text().splitlines()] == LINES[:1]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"^\S+: not written \([^\n]+\); [^\n]+$"):
        Journal(tmp_path / "nowhere" / "j").append({})


def test_a_full_disk_is_one_line_and_costs_no_line_written_before(journal, largest_file):
    journal.append(LINES[0])
    journal.close()
    with largest_file(journal.path.stat().st_size + 9):
        journal.append(LINES[1])
        with pytest.raises(BadInput, match=r"^\S+j.jsonl: not written \(File too large\); free some space there$"):
            journal.close()
    assert journal.read() == LINES[:1]
    journal.append(LINES[2])
    assert journal.read() == [LINES[0], LINES[2]]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, 524])
def test_a_file_system_without_locks_costs_one_warning(journal, tmp_path, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    warn_once.cache_clear()
    second = Journal(tmp_path / "k.jsonl")
    for each in (journal, second):
        each.append(LINES[0])
        each.close()
        assert each.read() == LINES[:1]
    ((_, level, words),) = caplog.record_tuples
    assert level == logging.WARNING
    assert "cannot lock files" in words


def test_a_lock_that_fails_otherwise_is_a_refusal(journal, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BadInput, match="Input/output error"):
        journal.append(LINES[0])
