"""What a person sees while waiting: a live bar on a terminal, plain lines anywhere else."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from ebmnist.evaluation.base import Metric, ProgressCallback
from ebmnist.evaluation.records import SectionRecord
from ebmnist.evaluation.runner import SectionDone, SectionStarted
from ebmnist.events import (
    Drawn,
    Event,
    Events,
    RanksAwaited,
    Resumed,
    Saved,
    TrialEnded,
    TrialStarted,
    Undrawn,
    Updated,
    WorkersAwaited,
)
from ebmnist.output import escaped
from ebmnist.ranks import ALONE, Ranks
from ebmnist.reporting.measurements import words
from ebmnist.signals import Interrupted, answered_by, is_echo
from ebmnist.terminal import console
from ebmnist.training import Action

SECONDS_BETWEEN_LINES = 10.0


def say(*words: str | tuple[str, str]) -> None:
    """Print one line on stderr: words, or (words, style). They are shown as they are, never read as rich's markup."""
    parts = (part if isinstance(part, tuple) else (part, "") for part in words)
    console.print(Text.assemble(*((escaped(text), style) for text, style in parts)), soft_wrap=True)


def follow(flow: Callable[[ProgressCallback], Events], *, at_once: bool = False, ranks: Ranks = ALONE) -> None:
    """Run a stream of events to its end, showing each. `flow` makes it, given what a section tells its progress to.

    While a run trains, Ctrl-C, SIGTERM or SIGHUP is answered between two updates, when the state is whole. Before
    (if `at_once`) and after that nothing is half-made, and it is raised where the stream is. Either way the stream
    saves what there is. A second signal does not wait. Ranks stop after the same update, whichever heard a signal.

    Raises:
        Interrupted: a signal came; its words say what was saved.
    """
    stop, between = _StopOnSignal(ranks), False
    with Watch() as watch, answered_by(stop.hear):
        if ranks.first and ranks.waiting is not None:
            ranks.waiting.tell = watch.awaited
        events = flow(watch.progress)
        try:
            while (event := stop.next(events, at_once=at_once, between=between)) is not None:
                watch.show(event)
                between = isinstance(event, Updated) and event.record.step < event.n_updates
                at_once = not (between or isinstance(event, Resumed | Saved))
        except KeyboardInterrupt as error:  # the stream's own, which knows what was saved and not which signal came
            if isinstance(error, Interrupted) or stop.signum is None:
                raise
            raise Interrupted(stop.signum, str(error)) from None


class Watch:
    """Shows events: the training bar while it lasts, then a line for each thing made."""

    def __init__(self) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_interactive,
        )
        self._task = self._bar.add_task("training", total=None, numbers="", visible=False)
        self._section = self._at = ""
        self._told = self._began = time.monotonic()

    def __enter__(self) -> "Watch":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Resumed(0, _):
                say("no checkpoint yet: begun again at update 0")
            case Resumed(step, changes):
                changed = "".join(f", {name} {before} → {after}" for name, (before, after) in changes.items())
                say(f"going on from update {step}{changed}")
            case Updated():
                self._update(event)
            case Saved(path):
                say((f"saved {path}", "dim"))
            case Drawn(path):
                say(f"wrote {path}")
            case Undrawn(_, why):
                say(("not drawn:", "red"), f" {why}")
            case SectionStarted(name, number, n_sections):
                self._section = f"{name}, {number} of {n_sections}"
                self._pulse()
                say((f"measuring {self._section}", "dim"))
            case RanksAwaited(names):
                self._wait(f"other ranks, which measure {', '.join(names)}", tell=True)
            case SectionDone(_, str(why), _):
                say(("not measured:", "red"), f" {why}")
            case SectionDone(name, SectionRecord() as section, _):
                say(f"measured {name} in {section.seconds:.0f} s")
                for figure in section.metrics:
                    say(f"  {figure.name}: {words(figure)}")
            case TrialStarted(trial, number, n_trials):
                values = "".join(f"{name} {value}, " for name, value in trial.values.items())
                self._section = trial.name
                self._pulse("training")
                say((trial.name, "bold"), f", {number} of {n_trials}: {values}seed {trial.seed}")
            case TrialEnded(trial) if trial.distance is not None:
                say(f"{trial.name}: Fréchet distance {words(Metric('', trial.distance, trial.error))}")
            case TrialEnded(trial):
                say((f"{trial.name} failed:", "red"), f" {trial.failure}")
            case WorkersAwaited(n_trials):
                self._wait(f"trials that other processes do: {n_trials}", tell=self._is_due())

    def progress(self, done: int, total: int) -> None:
        """Move the bar inside a section."""
        self._bar.update(self._task, total=total, completed=done)
        if done >= total:
            self._pulse()
        elif self._is_due():
            say((f"step {done:,} of {total:,}", "dim"))

    def awaited(self, ranks: tuple[str, ...]) -> None:
        """Say which ranks the others wait for."""
        say((f"waiting for {', '.join(ranks)}{self._at}", "yellow"))

    def _pulse(self, what: str = "measuring") -> None:
        """Show that something is being done, at a step that it does not tell."""
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=None, numbers=self._section)

    def _wait(self, what: str, *, tell: bool) -> None:
        """Show what is waited for."""
        self._section = what
        self._pulse("waiting")
        if tell:
            say((f"waiting for {what}", "dim"))

    def _is_due(self) -> bool:
        """Whether a line is to be written where there is no bar; if so, the next one waits."""
        now = time.monotonic()
        due = not console.is_interactive and now - self._told > SECONDS_BETWEEN_LINES
        self._told = now if due else self._told
        return due

    def _update(self, event: Updated) -> None:
        record, decision, total = event
        self._at = f", after update {record.step:,} of {total:,}"
        energies = f"E(x⁺) {record.energy_pos:+.2f}  E(x⁻) {record.energy_neg:+.2f}  gap {record.gap:+.2f}"
        numbers = f"{energies}  lr {record.lr:.1e}"
        state = _mark(decision.action)
        shown = Text.assemble(f"{numbers}  ", state)
        self._bar.update(self._task, total=total, completed=record.step, visible=True, numbers=shown.markup)
        if decision.action not in (Action.HEALTHY, Action.WATCHED):
            decided = f"update {record.step}: {decision.action.value}"
            say((decided, "yellow"), f" ({'; '.join(decision.signals)})")
        if self._is_due() or (record.step == total and not console.is_interactive):
            seconds = time.monotonic() - self._began
            say(f"update {record.step}/{total}  {numbers}  ", state, f"  {seconds:.0f} s")


def _mark(action: Action) -> tuple[str, str]:
    """An action in a word, and its colour."""
    return ("healthy", "green") if action is Action.HEALTHY else (action.name.lower(), "yellow")


class _StopOnSignal:
    """The first signal to stop: raised while `next` waits for an event, or remembered until it has come.

    It never lands outside the stream, which alone knows what to save.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.signum: int | None = None  # the first signal that came
        self._at_once = self._waits = False

    def next(self, events: Events, *, at_once: bool, between: bool) -> Event | None:
        """The next event, None after the last; several ranks ask each other `between` two updates, and only there."""
        if self._ranks.any(self._waits) if between else self._waits and (at_once or not self._ranks.joined):
            self._waits = False
            self.signum = self.signum or signal.SIGTERM  # that another rank heard
            return events.throw(Interrupted(self.signum))
        self._at_once = at_once
        try:
            return next(events, None)
        finally:
            self._at_once = False

    def hear(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the handler's signature)
        """Answer a signal."""
        if is_echo():
            return
        if self.signum is not None or self._at_once:
            self.signum = self.signum or signum
            raise Interrupted(signum)
        self.signum, self._waits = signum, True
        with suppress(RuntimeError):  # Python refuses to write while it is in the middle of a write
            say(("stopping after this step; a second Ctrl-C or signal stops at once", "yellow"))
