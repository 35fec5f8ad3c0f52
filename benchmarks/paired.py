"""Paired timing: all contestants in turn, round by round, so that ratios hold when the machine's speed drifts."""

import argparse
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.progress import track

RESULTS = Path(__file__).parent / "results"
ROUNDS = 11  # at least ten, and an odd number has a median that was measured

Work = Callable[[], object]
Rounds = dict[str, list[float]]  # what was measured of each contestant, one figure a round


def paired(works: dict[str, Work], *, rounds: int, repeats: int = 1, warmup: int = 2, per: int = 1) -> Rounds:
    """Time every work in turn, `rounds` times, after `warmup` calls of each: milliseconds, divided by `per`.

    Args:
        works: name -> what is timed.
        rounds: ≥ 1; ten or more for figures to quote.
        repeats: calls in a row that one figure is the mean of.
        warmup: calls of each work that are not counted.
        per: steps in one call, where a step is what is asked for.
    """
    for work in works.values():
        _seconds(work, warmup)
    times: Rounds = {name: [] for name in works}
    for _ in track(range(rounds), "rounds", console=Console(stderr=True), transient=True):
        for name, work in works.items():
            times[name].append(1e3 * _seconds(work, repeats) / per)
    return times


def _seconds(work: Work, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats if repeats else 0.0


class Elsewhere(AbstractContextManager["Elsewhere"]):
    """A work in a process of its own, for what a process cannot change of itself; a call runs it once there.

    The other end is `serve`. Sending word there and back takes some 0.05 ms.
    """

    def __init__(self, arguments: Sequence[str], **environment: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def __call__(self) -> None:
        """Run it. Raises: RuntimeError if the process has ended."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("go\n")
        self._child.stdin.flush()
        if self._child.stdout.readline() != "done\n":
            raise RuntimeError(f"{self._child.args}: ended with code {self._child.wait()}; what it said is above")

    def __exit__(self, *_: object) -> None:
        self._child.communicate()  # closes its input, which ends `serve`


def serve(work: Work) -> None:
    """Run `work` once for every line on standard input, and say so."""
    for _ in sys.stdin:
        work()
        print("done", flush=True)


def options(doc: str | None, rounds: int | None = ROUNDS) -> argparse.ArgumentParser:
    """A parser with what every script takes; `doc` is the script's own docstring."""
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(doc or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=rounds,
        help=f"each contestant in turn, so often (default {rounds or 'the script’s own'})",
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help="where table, chart and raw rounds go (results/)"
    )
    return parser


def positive(text: str) -> int:
    """A whole number ≥ 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 1, not {value}")
    return value
