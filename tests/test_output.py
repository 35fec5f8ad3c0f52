"""What is printed: as it is, in one line, in any encoding, and never a traceback where it cannot be."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebmnist.cli import main
from ebmnist.console import say
from ebmnist.output import any_encoding, escaped, is_text, put, tell

NAMES = [
    "a[/b]",
    "[bold]x[/]",
    "[link=x]",
    ":smile:",
    "é ü 数",
    "👩\u200d🔬",
    "-x",
    "a b",
    "x" * 300,
    r"a\n",
    "\\[red]",
]
ESCAPED = [("a\nb", r"a\nb"), ("\x1b[31m", r"\x1b[31m"), ("\r", r"\r"), ("\u2028", r"\u2028"), ("\u202ex", r"\u202ex")]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    say("wrote ", (name, "bold"))
    tell(f"ebmnist: {name}")
    assert capsys.readouterr().err == f"wrote {name}\nebmnist: {name}\n"


@pytest.mark.parametrize(("name", "shown"), [*ESCAPED, ("\udcff", r"\udcff")])
def test_what_would_break_a_line_is_escaped(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert escaped(name) == shown
    say(name)
    tell(name)
    assert capsys.readouterr().err == f"{shown}\n{shown}\n"


def test_text_is_what_utf_8_can_write() -> None:
    assert is_text("é\n👩")
    assert not is_text(os.fsdecode(b"r\xff"))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = io.BytesIO(), io.BytesIO()
    for name, file in zip(("stdout", "stderr"), files, strict=True):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding, errors="strict"))
    with any_encoding():
        put("σ é")
        tell("σ é")
    assert (sys.stdout.errors, sys.stderr.errors) == ("strict", "strict")
    e = "é".encode(encoding, errors="replace") if encoding != "ascii" else b"?"
    sigma = "σ".encode() if encoding == "utf-8" else b"?"
    assert files[0].getvalue() == sigma + b" " + e + b"\n"
    assert len(files[1].getvalue().splitlines()) == 1


def command(*words: str, stdout: int, **env: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "ebmnist", *words], stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **env}
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
def test_a_full_device_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = command("--help", stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr == b"ebmnist: stdout: not written (No space left on device); send it elsewhere\n"


def test_a_closed_stdout_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["recipe"]) == 2
    assert capsys.readouterr().err == "ebmnist: stdout: is closed; send it to a file, or to /dev/null\n"


def test_a_closed_or_full_stderr_costs_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    for stream in (None, Full()):
        monkeypatch.setattr(sys, "stderr", stream)
        tell("words")
    from ebmnist import console

    monkeypatch.setattr(console, "console", type(console.console)(file=Full()))
    say("words")
    assert console.console.quiet


def test_the_module_is_the_command_in_ascii_too() -> None:
    done = command("evaluate", "--help", stdout=subprocess.PIPE, PYTHONIOENCODING="ascii", COLUMNS="100")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: ebmnist evaluate ")
    assert b"Fr?chet" in done.stdout


def test_json_is_json_in_any_encoding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "pretrained", "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed)["recipe"] == "mnist-best"
