"""The sessions in which a run was resumed: where, from which update, and with what changed in its recipe."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import as_images
from ebmnist.errors import BadInput
from ebmnist.reading.schema import anything, list_of, mapping_of, record, whole
from ebmnist.reporting.environment import ENVIRONMENT_SCHEMA, describe_environment
from ebmnist.reporting.journal import Journal

# What a resumed run cannot change, and why; the longest path that fits decides, and None allows.
FIXED: dict[str, str | None] = {
    "seed": "the random streams go on from where they are",
    "data": "the weights were trained on those images",
    "data.root": None,  # the same images elsewhere; `images_digest` tells
    "energy": "the weights are of that architecture",
    "energy.precision": None,
    "training.start.kind": "the saved chains are of that start",
    "training.start.size": "so many chains are saved",
}


class Session(NamedTuple):
    """A line of history.jsonl: a run was resumed."""

    step: int  # the update that it went on from
    changes: dict[str, list[Any]]  # by dotted path in the recipe: the value before and after, None where there is none
    environment: dict[str, Any]  # as `describe_environment` saw it


SESSION_SCHEMA = record(
    {"step": whole(0), "changes": mapping_of(list_of(anything, length=2)), "environment": ENVIRONMENT_SCHEMA},
    closed=True,
)


def record_session(path: Path, step: int, changes: Mapping[str, list[Any]]) -> None:
    """Add a session that begins here and now to a history.jsonl, on disk.

    Raises:
        BadInput: the system refuses, or another process is writing.
    """
    journal = Journal(path)
    try:
        journal.append(Session(step, dict(changes), describe_environment())._asdict())
        journal.flush_to_disk()
    finally:
        journal.close()


def read_history(path: Path) -> list[Session]:
    """Return the sessions in a history.jsonl, oldest first; none where the run was never resumed.

    Raises:
        BadInput: a line is damaged.
    """
    return [Session(**line) for line in Journal(path, SESSION_SCHEMA).read()]


def in_words(session: Session) -> str:
    """A session in one line.

    >>> in_words(Session(250, {"training.lr": [0.002, 0.001]}, {"date": "2026-11-29", "commit": "0123456789"}))
    'at update 250, 2026-11-29, commit 0123456, training.lr 0.002 → 0.001'
    """
    made = session.environment
    commit = str(made.get("commit") or "unknown")[:7] + (" with changes" if made.get("dirty") else "")
    changes = [f"{name} {before} → {after}" for name, (before, after) in session.changes.items()]
    return ", ".join([f"at update {session.step}", str(made.get("date")), f"commit {commit}", *changes])


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the fields of a recipe that differ, by dotted path, with both values.

    >>> changes_between({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    {'a.c': [2, 3]}
    """
    one, two = dict(_leaves(before)), dict(_leaves(after))
    names = dict.fromkeys((*one, *two))
    return {name: [one.get(name), two.get(name)] for name in names if one.get(name) != two.get(name)}


def check_changes(changes: Mapping[str, list[Any]]) -> None:
    """Refuse to change what a resumed run cannot.

    Raises:
        BadInput: one of them is such a field; the line says why.
    """
    for name, (before, _) in changes.items():
        parts = name.split(".")
        rules = [FIXED[path] for n in range(len(parts), 0, -1) if (path := ".".join(parts[:n])) in FIXED]
        if rules and rules[0] is not None:
            raise BadInput(
                f"--{name}: cannot be changed on resume: {rules[0]}; leave it at {before}, or begin anew with: "
                "ebmnist train"
            )


def images_digest(images: Tensor) -> str:
    """Twelve hexadecimal digits of about 1000 images (N, 1, 28, 28), spread evenly over all, and of N.

    Images in [0, 1] have the digits of the uint8 pixels nearest to them.
    """
    some = as_images(images[:: max(1, len(images) // 1000)].detach().cpu())
    pixels = (some * 255).round().to(torch.uint8).contiguous().numpy()
    return hashlib.sha256(str(len(images)).encode() + pixels.tobytes()).hexdigest()[:12]


def _leaves(fields: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
