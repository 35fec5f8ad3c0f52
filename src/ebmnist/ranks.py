"""The processes that compute one run together: what share each takes, and how they exchange it (torch.distributed).

A process that nobody started as one of several is `ALONE`: a world of size one, in which every exchange gives back what
it was given (`launched.join`).
"""

import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import torch
from torch import Tensor, distributed

from ebmnist.errors import BadInput, ToldElsewhere
from ebmnist.waiting import Waiting

WAIT = timedelta(seconds=60)  # for the slowest rank; one that is later counts as lost
LONG_WAIT = timedelta(days=30)  # where ranks do things of different length; one that dies is noticed all the same
ENOUGH = 2**40  # turns, more than any job has


class RankLost(BadInput):
    """Another rank has ended, or does not answer."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is. All but `share` is called by every rank, in the same order.

    Every exchange raises `RankLost` where another rank has ended, or does not answer for a minute.
    """

    rank: int = 0
    """0 to size − 1; rank 0 writes."""
    size: int = 1
    """The world size, ≥ 1."""
    joined: bool = False
    """Whether there is a process group. A group of one computes as a group of any size does."""
    store: distributed.Store | None = field(default=None, repr=False, compare=False)  # type: ignore[name-defined]
    """What all ranks can read and write; None for a world of size one."""
    group: distributed.ProcessGroup | None = field(default=None, repr=False, compare=False)
    """By which ranks exchange; None for the default group, whose members wait a minute for each other."""
    waiting: Waiting | None = field(default=None, repr=False, compare=False)
    """Who is waited for, in a slow exchange; None for a world of size one."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, n: int, rank: int | None = None) -> slice:
        """Return which of n things a rank takes, this one if not given; shares differ by at most one.

        >>> [Ranks(size=3).share(8, rank) for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        rank = self.rank if rank is None else rank
        return slice(n * rank // self.size, n * (rank + 1) // self.size)

    def shares(self, n: int) -> list[int]:
        """Return how many of n things each rank takes."""
        return [len(range(n)[self.share(n, rank)]) for rank in range(self.size)]

    def turns(self, n: int) -> Iterator[int]:
        """Return which of n things this rank does: it takes the next one whenever it is free. No two take the same.

        A job does this once.
        """
        taken = itertools.count() if self.store is None else map(self._taken, itertools.repeat(1))
        return itertools.takewhile(lambda turn: turn < n, taken)

    def patient(self) -> "Ranks":
        """Return the same ranks, which wait for each other as long as it takes, and no longer for one that has died."""
        if self.size == 1:
            return self
        with self._answered():
            return replace(self, group=distributed.new_group(timeout=LONG_WAIT, backend="gloo"))

    def gathered(self, mine: Tensor, counts: Sequence[int]) -> Tensor:
        """Return the rows of all ranks in their order, (Σ counts, …); `mine` is (counts[rank], …)."""
        if self.size == 1:
            return mine
        padded = mine.new_zeros(max(counts), *mine.shape[1:])
        padded[: len(mine)] = mine
        every = [torch.empty_like(padded) for _ in counts]
        with self._exchanged():
            work = distributed.all_gather(every, padded, group=self.group, async_op=True)
            while self.group is not None and not work.is_completed():  # in Python, where a signal is heard
                time.sleep(0.05)
            work.wait()
        return torch.cat([rows[:n] for rows, n in zip(every, counts, strict=True)])

    def largest(self, values: Tensor) -> Tensor:
        """Replace each value by the largest that any rank has, in place, and return them."""
        if self.size > 1:
            with self._exchanged():
                distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self.group)
        return values

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        return bool(self.largest(torch.tensor(int(flag), device="cpu"))) if self.size > 1 else flag

    def summed(self, values: Tensor) -> Tensor:
        """Replace each value by the sum over all ranks, in place, and return them."""
        if self.size > 1:
            with self._exchanged():
                distributed.all_reduce(values, group=self.group)
        return values

    def texts(self, mine: str) -> list[str]:
        """Return the text that each rank gives, in their order."""
        if self.size == 1:
            return [mine]
        coded = torch.tensor([*mine.encode(), 0], dtype=torch.uint8, device="cpu")
        lengths = self.gathered(torch.tensor([len(coded)], device="cpu"), [1] * self.size).tolist()
        every = torch.split(self.gathered(coded, lengths), lengths)
        return [bytes(text.tolist()[:-1]).decode() for text in every]

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Do what may fail on one rank: then it fails on all, and the lowest that knows why says so.

        What is left of `turns` is then done by nobody, nor after a `KeyboardInterrupt`, which passes.

        Raises:
            BadInput: what went wrong here.
            ToldElsewhere: a lower rank says what went wrong.
        """
        failure: BadInput | None = None
        try:
            yield
        except (BadInput, KeyboardInterrupt) as error:
            with suppress(RankLost):
                self._end_turns()
            if not isinstance(error, BadInput):
                raise
            failure = error
        told = self.texts("" if failure is None else str(failure))
        if not any(told):
            return
        if failure is None or any(told[: self.rank]):
            raise ToldElsewhere("another rank says why")
        raise failure if self.first else BadInput(f"rank {self.rank}: {failure}") from failure

    def check_alike(self, facts: Mapping[str, str]) -> None:
        """Check that the ranks run the same thing: `facts` are digests by name. Raises: BadInput."""
        given = json.loads(self.texts(json.dumps(dict(facts)))[0])
        for name, value in facts.items():
            if given[name] != value:
                raise BadInput(f"has other {name} than rank 0 ({value}, not {given[name]}); give all ranks the same")

    def _end_turns(self) -> None:
        """Leave no turn to any rank: each ends when it has done what it is at."""
        if self.store is not None:
            self._taken(ENOUGH)

    def _taken(self, n: int) -> int:
        """Take n turns, and return the number of the first."""
        with self._answered():
            return int(self.store.add("turns", n)) - n  # type: ignore[union-attr]

    @contextmanager
    def _exchanged(self) -> Iterator[None]:
        with self._answered(), nullcontext() if self.waiting is None else self.waiting.exchange():
            yield

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # what torch.distributed raises
            who = ", ".join(self.waiting.awaited if self.waiting else ()) or "another rank"
            lost = f"rank {self.rank} of {self.size}: {who} ended or does not answer ({reason(error)})"
            raise RankLost(lost) from error


ALONE = Ranks()


def reason(error: BaseException) -> str:
    """The first sentence of what torch.distributed says, without the place in its sources."""
    return re.sub(r"^\[\S+\] ", "", " ".join(str(error).split())).split(". ")[0][:200]
