"""Signals: who answers them, which stay ignored, what becomes of a thread, and the exit codes of commands."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ebmnist import cli, signals
from ebmnist.cli import main
from ebmnist.commands import models
from ebmnist.commands.ends import follow_to_the_end
from ebmnist.console import follow
from ebmnist.pipeline import Drawn, Events, Updated
from ebmnist.signals import STOP, Interrupted, answered_by, interrupt
from ebmnist.training import Action, Decision
from records import RECORD

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
TRAINED = Updated(RECORD._replace(step=1), Decision(Action.HEALTHY, ()), 2)


@pytest.mark.parametrize(("number", "code"), CODES.items())
@pytest.mark.parametrize("training", [True, False])
def test_each_signal_saves_and_has_its_code(
    number: int, code: int, training: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def stream(_: object) -> Events:
        try:
            yield TRAINED if training else Drawn(Path("a"))
            os.kill(os.getpid(), number)
            yield Drawn(Path("b"))
        except KeyboardInterrupt:
            yield Drawn(Path("saved"))
            raise KeyboardInterrupt("saved; go on") from None

    assert follow_to_the_end(stream) == code
    told = capsys.readouterr().err.splitlines()
    assert told[-2:] == ["wrote saved", "ebmnist: saved; go on"]
    assert ("wrote b" in told) is training  # whose state is whole only after an event
    assert all(signal.getsignal(n) in (signal.SIG_DFL, signal.default_int_handler) for n in STOP)


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in CODES for b in CODES])
def test_a_second_signal_ends_the_saving(first: int, second: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "TOGETHER", 0.0)

    def stubborn(_: object) -> Events:
        try:
            yield TRAINED
            os.kill(os.getpid(), first)
            yield TRAINED
        except KeyboardInterrupt:
            os.kill(os.getpid(), second)
            raise AssertionError("it went on saving") from None

    with pytest.raises(Interrupted) as ended:
        follow(stubborn)
    assert ended.value.exit_code == CODES[second]


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_any_verb_ends_in_one_line(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*_: object) -> int:
        os.kill(os.getpid(), number)
        return 0

    monkeypatch.setattr(models, "info", command)
    assert main(["info", "pretrained"]) == code
    assert capsys.readouterr().err == "ebmnist: interrupted\n"


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in CODES for b in CODES])
def test_signals_that_come_together_are_one(
    first: int, second: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signals, "TOGETHER", 60.0)

    def stream(_: object) -> Events:
        try:
            yield TRAINED
            os.kill(os.getpid(), first)
            os.kill(os.getpid(), second)
            yield TRAINED
        except KeyboardInterrupt:
            os.kill(os.getpid(), second)
            yield Drawn(Path("saved"))
            raise KeyboardInterrupt("saved; go on") from None

    monkeypatch.setattr(models, "info", lambda *_: follow_to_the_end(stream))
    assert main(["info", "pretrained"]) == CODES[first]
    assert capsys.readouterr().err.splitlines()[-2:] == ["wrote saved", "ebmnist: saved; go on"]


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_a_second_signal_while_the_first_is_told_of_ends_without_a_traceback(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(_: str) -> None:
        os.kill(os.getpid(), number)

    def command(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    monkeypatch.setattr(signals, "TOGETHER", 0.0)
    monkeypatch.setattr(cli, "tell", tell)
    monkeypatch.setattr(models, "info", command)
    assert main(["info", "pretrained"]) == code


def test_under_nohup_a_hangup_stays_ignored() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with answered_by(interrupt):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is interrupt
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def in_a_thread(work: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_runs_without_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    assert in_a_thread(lambda: cli.main(["recipe"])) == 0
    assert in_a_thread(lambda: follow_to_the_end(lambda _: (e for e in (TRAINED, Drawn(Path("x")))))) == 0  # type: ignore
    assert "wrote x" in capsys.readouterr().err
