"""A run folder: everything one training leaves behind, in files a person can read."""

import json
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.reading import read_json
from ebmnist.reading.schema import check
from ebmnist.reporting.atomic import mendable, sweep, write_file
from ebmnist.reporting.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    prune,
    prune_after,
    save_checkpoint,
)
from ebmnist.reporting.environment import ENVIRONMENT_SCHEMA, describe_environment
from ebmnist.reporting.history import record_session
from ebmnist.reporting.journal import Journal
from ebmnist.reporting.place import is_free
from ebmnist.reporting.reading import readable
from ebmnist.reporting.records import EVENT_SCHEMA, RECORD_SCHEMA, JournalEntry, from_json, to_json
from ebmnist.training.base import Action, Decision, StepRecord

LINES = "journal_lines"  # a fact `save` adds: how long metrics and events were; steps repeat, so it must be counted


class RunFolder:
    """The files of one run, by name; `create` makes a new run, `open` takes one up.

    One process writes a run at a time: the lock on metrics.jsonl keeps others out, from `create` or `lock` to `close`.
    A context manager: leaving it closes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"  # as it is in force, every value spelled out
        self.environment = path / "env.json"  # where the run began
        self.history = path / "history.jsonl"  # a Session per resume
        self.metrics = path / "metrics.jsonl"  # a StepRecord per line
        self.events = path / "events.jsonl"  # an JournalEntry per line
        self.checkpoints = path / "checkpoints"
        self.figures = path / "figures"
        self.evaluation = path / "evaluation.json"
        self.report = path / "report.html"
        self._metrics, self._events = Journal(self.metrics, RECORD_SCHEMA), Journal(self.events, EVENT_SCHEMA)

    @classmethod
    def create(cls, path: Path, recipe: str) -> Self:
        """Make a run folder that holds the recipe's YAML text and the environment, and lock it, or leave nothing.

        What a killed `create` left is taken over.

        Raises:
            BadInput: `path` is taken, or may not be written.
        """
        with mendable(path):
            if not is_free(path):
                raise _taken(path)
            path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        try:
            run.lock()  # claims the folder: of two that try, one fails here
            if run.recipe.exists():  # made and ended between the two looks
                raise _taken(path)
        except BadInput:
            run.close()
            with suppress(OSError):  # it holds something
                path.rmdir()
            raise
        try:
            with mendable(path):
                for folder in (run.checkpoints, run.figures):
                    folder.mkdir(exist_ok=True)
            run.sweep()
            write_file(run.environment, json.dumps(describe_environment(), indent=1, ensure_ascii=False) + "\n")
            write_file(run.recipe, recipe)  # last: it is what makes the folder a run
        except BaseException:
            run.close()
            shutil.rmtree(path)
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Take up an existing run folder, to read or to resume it.

        Raises:
            BadInput: `path` is no run folder.
        """
        run = cls(path)
        with readable(path):
            if not run.recipe.is_file():
                raise BadInput(f"{path}: no run folder (recipe.yaml is missing); give one that ebmnist train made")
        return run

    def lock(self) -> None:
        """Keep other writers out until `close`; whoever means to write locks before he looks at the checkpoints.

        Raises:
            BadInput: another process writes this run, or the system refuses.
        """
        self._metrics.open()

    def log(self, record: StepRecord, decision: Decision) -> None:
        """Write down one update, and its decision unless that is a healthy one without a signal.

        Raises:
            BadInput: the disk is full, or another process writes this run.
        """
        self._metrics.append({name: to_json(value) for name, value in record._asdict().items()})
        action, signals = decision
        if action is not Action.HEALTHY or signals:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            event = JournalEntry(record.step, action, signals, now)
            self._events.append(event._asdict() | {"action": action.name})
            self._events.flush()

    def save(self, *, tensors: dict[str, Tensor], facts: dict[str, Any], keep: int = 3) -> Path:
        """Put the journals on disk, then a checkpoint; keep the newest `keep` and none of a later step.

        A later one stems from before a rollback, and would otherwise be taken for the latest. None goes before the
        new one is whole.

        Raises:
            BadInput: the disk is full or may not be written; the last good checkpoint is still there.
        """
        lines = [journal.flush_to_disk() for journal in (self._metrics, self._events)]
        path = save_checkpoint(self.checkpoints, tensors=tensors, facts=facts | {LINES: lines})
        prune_after(self.checkpoints, facts["step"])
        prune(self.checkpoints, keep)
        return path

    def read_metrics(self) -> list[StepRecord]:
        """Return the records of all updates, in the order they were made; after a rollback steps repeat.

        Raises:
            BadInput: metrics.jsonl is damaged, or has other columns than this version's.
        """
        return [StepRecord._make(from_json(line[name]) for name in StepRecord._fields) for line in self._metrics.read()]

    def read_events(self) -> list[JournalEntry]:
        """Return the decisions, in the order they were made.

        Raises:
            BadInput: events.jsonl is damaged.
        """
        return [
            JournalEntry(**line | {"action": Action[line["action"]], "signals": tuple(line["signals"])})
            for line in self._events.read()
        ]

    def read_environment(self) -> dict[str, Any]:
        """Return where and how the run was made, as `describe_environment` saw it. Raises `BadInput` if damaged."""
        mend = "the run itself is not affected; delete it"
        facts: dict[str, Any] = check(
            read_json(self.environment, mend), ENVIRONMENT_SCHEMA, str(self.environment), mend
        )
        return facts

    def record_session(self, step: int, recipe: str, changes: dict[str, list[Any]]) -> None:
        """Write down that the run goes on from update `step` here and now, and the recipe's YAML text in force.

        Raises:
            BadInput: the disk is full or may not be written.
        """
        record_session(self.history, step, changes)
        write_file(self.recipe, recipe)

    def sweep(self) -> None:
        """Clear away what dead writers left. Raises `BadInput` where the system refuses."""
        for folder in (self.path, self.checkpoints, self.figures):
            sweep(folder)

    def rewind(self, step: int) -> None:
        """Undo what followed the checkpoint of update `step`, so that a run resumed from it goes on there.

        The records and events after it go. Without such a checkpoint, what follows the first later step goes.
        Checkpoints of later steps stay until `save` has written the next one.

        Raises:
            BadInput: a journal or that checkpoint is damaged, or another process writes this run.
        """
        self.lock()
        saved = list_checkpoints(self.checkpoints).get(step)
        lines = load_checkpoint(saved).facts.get(LINES) if saved else None
        if lines is None:
            told = (
                [record.step for record in self.read_metrics()],
                [event.step for event in self.read_events()],
            )
            lines = [next((i for i, at in enumerate(steps) if at > step), len(steps)) for steps in told]
        self._metrics.truncate(lines[0])
        self._events.truncate(lines[1])
        self.sweep()

    def close(self) -> None:
        """Flush and close the journals.

        Raises:
            BadInput: the disk is full.
        """
        try:
            self._metrics.close()
        finally:
            self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _taken(path: Path) -> BadInput:
    way_on = f", or go on with: ebmnist resume {path}" if (path / "recipe.yaml").is_file() else ""
    return BadInput(f"{path}: exists already; choose another folder{way_on}")
