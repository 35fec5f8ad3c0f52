"""The signals that ask a command to stop: Ctrl-C, SIGTERM (`kill`, batch systems) and SIGHUP (a closed terminal)."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

# Seconds in which several signals are one: `timeout`, `uv run` and a terminal that closes send two at once.
TOGETHER = 0.3

_heard = [-float("inf")]  # when the signal that is being answered came


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop. The shell's exit code for it is 128 + its number."""

    def __init__(self, signum: int, words: str = "") -> None:
        super().__init__(words)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signum


def interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the handler's signature)
    """Answer a signal by raising `Interrupted` wherever the program is."""
    if not is_echo():
        raise Interrupted(signum)


def is_echo() -> bool:
    """Whether a signal that has just come belongs to one that is being answered; a handler asks once per signal."""
    now = time.monotonic()
    if now - _heard[0] < TOGETHER:
        return True
    _heard[0] = now
    return False


@contextmanager
def answered_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `handler` answer the signals in `STOP`; the former handlers are put back on leaving.

    SIGHUP stays ignored under nohup. In a thread other than the main one Python allows no handlers: all stays as it is.
    """
    before, _heard[0] = {}, -float("inf")
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
