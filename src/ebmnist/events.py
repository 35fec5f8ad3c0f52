"""What the flow's stream of events is made of: each is a thing that has just happened."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from ebmnist.evaluation.runner import SectionDone, SectionStarted
from ebmnist.reporting.study import Trial
from ebmnist.training import Decision, StepRecord


class Resumed(NamedTuple):
    """A run goes on from a checkpoint, or begins again because it has none."""

    step: int  # the update it goes on from; 0 begins again
    changes: dict[str, list[Any]]  # fields of the recipe, by dotted path: the value before and after


class Updated(NamedTuple):
    """An update was done."""

    record: StepRecord
    decision: Decision
    n_updates: int


class Saved(NamedTuple):
    """A checkpoint was written."""

    path: Path


class Drawn(NamedTuple):
    """A picture or page was written."""

    path: Path


class Undrawn(NamedTuple):
    """A section was measured, and its picture could not be drawn."""

    name: str
    why: str


class TrialStarted(NamedTuple):
    """A sweep begins a trial, or goes on with it."""

    trial: Trial
    number: int  # 1 for the first
    n_trials: int


class TrialEnded(NamedTuple):
    """A trial has its figure, or has failed."""

    trial: Trial


class RanksAwaited(NamedTuple):
    """This rank has measured its sections, and waits for those of the others."""

    names: tuple[str, ...]


class WorkersAwaited(NamedTuple):
    """All that is left of a sweep is done by other processes."""

    n_trials: int  # that they do


Event = (
    Resumed
    | Updated
    | Saved
    | Drawn
    | Undrawn
    | SectionStarted
    | SectionDone
    | TrialStarted
    | TrialEnded
    | RanksAwaited
    | WorkersAwaited
)
Events = Generator[Event, None, None]
