"""Which ranks the others wait for: found out by those that wait, and only once an exchange takes long."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from torch import distributed

NOTED, SLOW, LOOK = 2.0, 6.0, 0.5  # seconds: a rank notes that it waits; it asks who does not; it looks at the clock


class Waiting:
    """Knows whether this rank is in an exchange and, of a slow one, which ranks have not come to it.

    A rank that has waited for two seconds notes that in the store, until its exchange ends. After six it reads who has
    no note. An exchange that is not slow costs nothing.

    Args:
        store: that all ranks can read and write.
        rank: this one's.
        size: how many there are, ≥ 2.
    """

    def __init__(self, store: distributed.Store, rank: int, size: int) -> None:  # type: ignore[name-defined]
        self.tell: Callable[[tuple[str, ...]], None] | None = None
        """Called once for each slow exchange, in another thread, with the ranks that are waited for."""
        self._store, self._rank, self._size = store, rank, size
        self._since, self._noted, self._awaited = float("inf"), False, tuple[str, ...]()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        store.set(f"host-{rank}", socket.gethostname())
        store.set(f"waits-{rank}", "0")
        self._thread.start()

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Take part in an exchange with all ranks."""
        self._since, self._awaited = time.monotonic(), ()
        try:
            yield
        finally:
            with self._lock:
                self._since = float("inf")
                if self._noted:
                    with suppress(RuntimeError):  # the store has gone: the next exchange will say so
                        self._note(False)

    @property
    def awaited(self) -> tuple[str, ...]:
        """Who is missing in this exchange, or was in the last one, as `rank 3 (node-b)`; empty if it is not slow."""
        return self._awaited

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK):
            try:
                with self._lock:
                    seconds = time.monotonic() - self._since
                    if seconds > NOTED and not self._noted:
                        self._note(True)
                if seconds > SLOW and not self._awaited and (missing := self._missing()):
                    self._awaited = missing
                    if self.tell is not None:
                        self.tell(missing)
            except RuntimeError:  # the store has gone: what waits will say so
                return

    def _note(self, waits: bool) -> None:
        self._store.set(f"waits-{self._rank}", str(int(waits)))
        self._noted = waits

    def _missing(self) -> tuple[str, ...]:
        """Who has no note."""
        others = [rank for rank in range(self._size) if rank != self._rank]
        away = [rank for rank in others if self._store.get(f"waits-{rank}") == b"0"]
        return tuple(f"rank {rank} ({self._store.get(f'host-{rank}').decode()})" for rank in away)
