"""Trainings that differ in a seed or a setting: several side by side, and what their figures say together."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import mean, stdev
from typing import TypeVar

import torch

T = TypeVar("T")


def each(work: Callable[..., T], tasks: Sequence[tuple[object, ...]], *, jobs: int) -> Iterator[T]:
    """Do `work(*task)` for every task, `jobs` at once, and hand out what they return in the order of the tasks.

    They run in `jobs` processes, ≥ 1, that share the cores. On two cores 1,500 updates of recipe mnist take some
    95 s, and two such trainings at once 125. `work` is found by its name in a module; what it raises is raised here.
    """
    if not tasks:
        return
    share = max(1, (os.cpu_count() or 1) // min(jobs, len(tasks)))
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (share,)) as pool:
        yield from pool.map(work, *zip(*tasks, strict=True))


def summary(values: Sequence[float], digits: int = 1) -> tuple[str, str, str]:
    """Mean, standard deviation and standard error of the mean; a dash for what so few values do not tell."""
    if len(values) < 2:
        return (f"{values[0]:.{digits}f}" if values else "–"), "–", "–"
    spread = stdev(values)
    return f"{mean(values):.{digits}f}", f"{spread:.{digits}f}", f"{spread / len(values) ** 0.5:.{digits}f}"
