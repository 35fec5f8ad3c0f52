"""What a person sees of a stream of events, and when Ctrl-C is answered."""

import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ebmnist import console, signals
from ebmnist.console import Watch, follow
from ebmnist.evaluation.base import ProgressCallback
from ebmnist.evaluation.runner import SectionStarted
from ebmnist.pipeline import Drawn, Event, Events, Saved, Updated
from ebmnist.training import Action, Decision
from records import RECORD

TRAINED = Updated(RECORD._replace(step=1), Decision(Action.HEALTHY, ()), 2)
DONE = Updated(RECORD._replace(step=2), Decision(Action.HEALTHY, ()), 2)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def stream(*before: Event, said: list[str]) -> Events:
    """Events, then work during which Ctrl-C is pressed, then one more; `said` tells where the interrupt lands."""
    try:
        yield from before
        press()
        time.sleep(0)
        said.append("worked on")
        yield Drawn(Path("a.png"))
    except KeyboardInterrupt:
        said.append("saving")
        yield Drawn(Path("saved"))
        raise KeyboardInterrupt("saved, and why") from None


@pytest.mark.parametrize(
    ("before", "at_once", "expected"),
    [
        ((), True, ["saving"]),
        ((), False, ["worked on", "saving"]),
        ((TRAINED,), True, ["worked on", "saving"]),
        ((TRAINED, Saved(Path("step-1"))), False, ["worked on", "saving"]),
        ((TRAINED, DONE), False, ["saving"]),
        ((SectionStarted("fidelity", 1, 2),), False, ["saving"]),
        ((TRAINED, DONE, Drawn(Path("b.png"))), False, ["saving"]),
    ],
)
def test_ctrl_c_waits_for_an_update_and_for_nothing_else(
    before: tuple[Event, ...], at_once: bool, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt, match="saved, and why"):
        follow(lambda _: stream(*before, said=said), at_once=at_once)
    assert said == expected
    assert "wrote saved" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "TOGETHER", 0.0)

    def stubborn() -> Events:
        yield TRAINED
        press()
        press()
        raise AssertionError("it waited")

    with pytest.raises(KeyboardInterrupt):
        follow(lambda _: stubborn())


def test_steps_inside_a_section_move_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "console", Console(file=io.StringIO(), force_terminal=True))
    with Watch() as watch:
        (before,) = watch._bar.tasks
        watch.show(SectionStarted("fidelity", 1, 2))
        (begun,) = watch._bar.tasks
        assert begun is not before
        assert (begun.total, begun.fields["numbers"]) == (None, "fidelity, 1 of 2")
        watch.progress(30, 40)
        assert (begun.completed, begun.total) == (30, 40)
        watch.progress(40, 40)
        (after,) = watch._bar.tasks
        assert (after.completed, after.total) == (0, None)  # what follows the chains tells no steps


def test_without_a_terminal_steps_are_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def section(progress: ProgressCallback) -> Iterator[Event]:
        yield SectionStarted("fidelity", 1, 1)
        progress(1, 4000)
        monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", -1.0)
        progress(2000, 4000)
        progress(4000, 4000)

    follow(section)  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == ["measuring fidelity, 1 of 1", "step 2,000 of 4,000"]
