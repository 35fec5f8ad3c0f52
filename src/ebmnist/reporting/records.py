"""The lines of a run's journals: what metrics.jsonl and events.jsonl hold of an update."""

import json
import math
from typing import NamedTuple

from ebmnist.reading.schema import either, list_of, number, one_of, record, text, whole
from ebmnist.training.base import Action, StepRecord

# A number, or one that JSON has not.
NUMBER = either(number(), one_of("NaN", "Infinity", "-Infinity"))
RECORD_SCHEMA = record(dict.fromkeys(StepRecord._fields, NUMBER) | {"step": whole(0)}, closed=True)
EVENT_SCHEMA = record(
    {
        "step": whole(0),
        "action": one_of(*(action.name for action in Action)),
        "signals": list_of(text()),
        "time": text(100),
    },
    closed=True,
)


class JournalEntry(NamedTuple):
    """A line of events.jsonl: what the guard decided on an update, and why."""

    step: int
    action: Action
    signals: tuple[str, ...]
    time: str  # UTC, ISO 8601


def to_json(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are written as "NaN", "Infinity" and "-Infinity"."""
    return value if math.isfinite(value) else json.dumps(value)


def from_json(value: float | str) -> float:
    """Undo `to_json`."""
    return value if isinstance(value, int) else float(value)
