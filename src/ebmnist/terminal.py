"""What people watch on stderr: rich's console, one that outlives its reader, and a bar of steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class _Console(Console):
    """A console whose reader may go: what cannot be shown is not worth a run."""

    def print(self, *objects: Any, **look: Any) -> None:
        try:
            super().print(*objects, **look)
        except OSError:  # the terminal is closed, or the disk under the log is full
            self.quiet = True

    def on_broken_pipe(self) -> None:
        """Go on; rich would end the process."""
        self.quiet = True


# Everything a person watches goes to stderr: stdout is for what a program reads.
console: Console = _Console(stderr=True, highlight=False)


@contextmanager
def steps_bar(what: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar for `total` steps, if `shown` and on a terminal; yields what to call with the number done."""
    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_interactive), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
