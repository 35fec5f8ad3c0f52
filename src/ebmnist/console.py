"""What a person sees while waiting: a live bar on a terminal, plain lines anywhere else."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from ebmnist.artifacts.measurements import Section, words
from ebmnist.evaluation.base import Progress
from ebmnist.events import Drawn, Event, Events, Resumed, Saved, Undrawn, Updated
from ebmnist.examination import Begun, Examined
from ebmnist.training import Verdict

# Everything a person watches goes to stderr: stdout is for what a program reads.
console = Console(stderr=True, highlight=False)
SECONDS_BETWEEN_LINES = 10.0


def follow(flow: Callable[[Progress], Events], *, at_once: bool = False) -> None:
    """Run a stream of events to its end, showing each. `flow` makes it, given what a section tells its progress to.

    While a run trains, Ctrl-C is answered between two updates, when the state is whole. Before (if `at_once`) and after
    that nothing is half-made, and it is raised where the stream is. Either way the stream saves what there is, and
    raises. A second Ctrl-C does not wait.
    """
    with Watch() as watch, _CtrlC() as ctrl_c:
        events = flow(watch.progress)
        while (event := ctrl_c.next(events, at_once=at_once)) is not None:
            watch.show(event)
            training = isinstance(event, Updated) and event.record.step < event.n_updates
            at_once = not (training or isinstance(event, Resumed | Saved))


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
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=None, numbers="", visible=False)
        self._section = ""
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
                self._line("no checkpoint yet: begun again at update 0")
            case Resumed(step, changes):
                changed = "".join(f", {name} {before} → {after}" for name, (before, after) in changes.items())
                self._line(f"going on from update {step}{changed}")
            case Updated():
                self._update(event)
            case Saved(path):
                self._line(f"[dim]saved {path}[/]")
            case Drawn(path):
                self._line(f"wrote {path}")
            case Undrawn(_, why):
                self._line(f"[red]not drawn:[/] {why}")
            case Begun(name, number, n_sections):
                self._section = f"{name}, {number} of {n_sections}"
                self._pulse()
                self._line(f"[dim]measuring {self._section}[/]")
            case Examined(_, str(why), _):
                self._line(f"[red]not measured:[/] {why}")
            case Examined(name, Section() as section, _):
                self._line(f"measured {name} in {section.seconds:.0f} s")
                for figure in section.figures:
                    self._line(f"  {figure.name}: {words(figure)}")

    def progress(self, done: int, total: int) -> None:
        """Move the bar inside a section."""
        self._bar.update(self._task, total=total, completed=done)
        if done >= total:
            self._pulse()
        elif self._is_due():
            self._line(f"[dim]step {done:,} of {total:,}[/]")

    def _pulse(self) -> None:
        """Show that a section is being measured, at a step that it does not tell."""
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("measuring", total=None, numbers=self._section)

    def _is_due(self) -> bool:
        """Whether a line is to be written where there is no bar; if so, the next one waits."""
        now = time.monotonic()
        due = not console.is_terminal and now - self._told > SECONDS_BETWEEN_LINES
        self._told = now if due else self._told
        return due

    def _update(self, event: Updated) -> None:
        record, judgement, total = event
        energies = f"E(x⁺) {record.energy_pos:+.2f}  E(x⁻) {record.energy_neg:+.2f}  gap {record.gap:+.2f}"
        numbers = f"{energies}  lr {record.lr:.1e}"
        state = _mark(judgement.verdict)
        said = f"{numbers}  {state}"
        self._bar.update(self._task, total=total, completed=record.step, visible=True, numbers=said)
        if judgement.verdict not in (Verdict.HEALTHY, Verdict.WATCHED):
            self._line(f"[yellow]update {record.step}: {judgement.verdict.value}[/] ({'; '.join(judgement.signals)})")
        if self._is_due() or (record.step == total and not console.is_terminal):
            self._line(f"update {record.step}/{total}  {said}  {time.monotonic() - self._began:.0f} s")

    def _line(self, words: str) -> None:
        self._bar.console.print(words, soft_wrap=True)


@contextmanager
def steps_bar(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """Show a bar for `total` steps; yields what to call with the number done."""
    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def _mark(verdict: Verdict) -> str:
    return "[green]healthy[/]" if verdict is Verdict.HEALTHY else f"[yellow]{verdict.name.lower()}[/]"


class _CtrlC:
    """The first Ctrl-C: raised while `next` waits for an event, or remembered until it has come.

    It never lands outside the stream, which alone knows what to save.
    """

    def __init__(self) -> None:
        self._at_once = self._came = False

    def __enter__(self) -> "_CtrlC":
        self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def next(self, events: Events, *, at_once: bool) -> Event | None:
        """The next event, None after the last."""
        if self._came:
            self._came = False
            return events.throw(KeyboardInterrupt())
        self._at_once = at_once
        try:
            return next(events, None)
        finally:
            self._at_once = False

    def _hear(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the handler's signature)
        signal.signal(signal.SIGINT, self._before)
        if self._at_once:
            raise KeyboardInterrupt
        self._came = True
        console.print("\n[yellow]stopping after this step; Ctrl-C again to stop at once[/]")
