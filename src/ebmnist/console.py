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
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ebmnist.artifacts.measurements import Section, words
from ebmnist.examination import Begun, Examined
from ebmnist.pipeline import Drawn, Event, Events, Saved, Updated
from ebmnist.training import Verdict

# Everything a person watches goes to stderr: stdout is for what a program reads.
console = Console(stderr=True, highlight=False)
SECONDS_BETWEEN_LINES = 10.0


def follow(events: Events) -> None:
    """Run a stream of events to its end, showing each.

    Ctrl-C is answered between two updates, when the state is whole: the stream saves it, then raises.
    A second Ctrl-C does not wait.
    """
    with _patient_interrupt() as interrupted, Watch() as watch:
        for event in events:
            watch.show(event)
            if interrupted():
                events.throw(KeyboardInterrupt())


class Watch:
    """Shows events: the training bar while it lasts, then a line for each thing made."""

    def __init__(self) -> None:
        self._bar = Progress(
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
        self._told = self._began = time.monotonic()

    def __enter__(self) -> "Watch":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Updated():
                self._update(event)
            case Saved(path):
                self._line(f"[dim]saved {path}[/]")
            case Drawn(path):
                self._line(f"wrote {path}")
            case Begun(name, number, n_sections):
                self._bar.reset(self._task, total=n_sections, completed=number - 1, description="measuring")
                self._bar.update(self._task, visible=True, numbers=name)
                self._line(f"[dim]measuring {name}, {number} of {n_sections}[/]")
            case Examined(_, str(why), _):
                self._line(f"[red]not measured:[/] {why}")
            case Examined(name, Section() as section, _):
                self._line(f"measured {name} in {section.seconds:.0f} s")
                for figure in section.figures:
                    self._line(f"  {figure.name}: {words(figure)}")

    def _update(self, event: Updated) -> None:
        record, judgement, total = event
        energies = f"E(x⁺) {record.energy_pos:+.2f}  E(x⁻) {record.energy_neg:+.2f}  gap {record.gap:+.2f}"
        numbers = f"{energies}  lr {record.lr:.1e}"
        state = _mark(judgement.verdict)
        said = f"{numbers}  {state}"
        self._bar.update(self._task, total=total, completed=record.step, visible=True, numbers=said)
        if judgement.verdict not in (Verdict.HEALTHY, Verdict.WATCHED):
            self._line(f"[yellow]update {record.step}: {judgement.verdict.value}[/] ({'; '.join(judgement.signals)})")
        now = time.monotonic()
        last = record.step == total
        if not console.is_terminal and (last or now - self._told > SECONDS_BETWEEN_LINES):
            elapsed = now - self._began
            self._line(f"update {record.step}/{total}  {said}  {elapsed:.0f} s")
            self._told = now

    def _line(self, words: str) -> None:
        self._bar.console.print(words, soft_wrap=True)


@contextmanager
def steps_bar(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """Show a bar for `total` steps; yields what to call with the number done."""
    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def _mark(verdict: Verdict) -> str:
    return "[green]healthy[/]" if verdict is Verdict.HEALTHY else f"[yellow]{verdict.name.lower()}[/]"


@contextmanager
def _patient_interrupt() -> Iterator[Callable[[], bool]]:
    """Remember the first Ctrl-C instead of raising; yields whether one came."""
    came = False

    def remember(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the handler's signature)
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, before)
        console.print("\n[yellow]stopping after this step; Ctrl-C again to stop at once[/]")

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
