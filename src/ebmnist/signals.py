"""The signals that ask a command to stop: Ctrl-C, SIGTERM (`kill`, batch systems) and SIGHUP (a closed terminal)."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop. The shell's exit code for it is 128 + its number."""

    def __init__(self, signum: int, words: str = "") -> None:
        super().__init__(words)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signum


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 (the handler's signature)
    """Answer a signal by raising `Interrupted` wherever the program is."""
    raise Interrupted(signum)


@contextmanager
def answered_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `handler` answer the signals in `STOP`; the former handlers are put back on leaving.

    SIGHUP stays ignored under nohup. In a thread other than the main one Python allows no handlers: all stays as it is.
    """
    before = {}
    try:
        for number in STOP:
            former = signal.getsignal(number)
            nohup = former is signal.SIG_IGN and number not in (signal.SIGINT, signal.SIGTERM)
            if former is not None and not nohup:  # None: a handler that Python did not set and cannot put back
                signal.signal(number, handler)
                before[number] = former
    except ValueError:  # "signal only works in main thread of the main interpreter"
        pass
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
