"""A sweep's study: which trainings it asks for, who does which, and what came out, kept by Optuna in SQLite."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebmnist.errors import UNIMPORTABLE, BadInput, in_one_line
from ebmnist.reporting.atomic import TEMPORARY, check_writable, mendable
from ebmnist.reporting.lock import lock, locked

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FILE = "study.db"
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Trial:
    """One training of a sweep, and what came of it."""

    values: Mapping[str, str]
    """Fields of the recipe by dotted path, as they were asked for."""
    seed: int
    name: str
    """Of its run folder, inside the sweep's."""
    distance: float | None = None
    """What the sweep minimises; None before the end, and for a trial that failed."""
    error: float | None = None
    """One standard error of the distance, from the samples alone."""
    failure: str | None = None
    """In one line, why there is no distance and will be none."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do for it."""
        return self.distance is not None or self.failure is not None


@dataclass(frozen=True)
class Taken:
    """A trial that this process does. While its handle is open, no other process takes it; a death closes it."""

    trial: Trial
    asked: "optuna.Trial"
    handle: int


def check_optuna() -> None:
    """Import Optuna, so that a sweep is refused before anything is written.

    Raises:
        BadInput: Optuna is not installed, or it is and cannot be imported.
    """
    try:
        import optuna
    except UNIMPORTABLE as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "optuna":
            raise BadInput('optuna is not installed: pip install "ebmnist[sweep]"') from None
        raise BadInput(f"optuna is installed and cannot be imported ({in_one_line(error)}); mend that") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """The trials of a sweep, shared by all processes that work on it.

    Optuna's queue hands them out in order. A process holds a lock on a file while it does a trial: a trial that is
    running and not locked has lost its process, and goes back to the queue.

    Args:
        folder: of the sweep; made if it is not there.
        grid: the values of each field of the recipe, by dotted path.
        about: plain values by name that, with the grid, all who work on the sweep have to agree on.

    Raises:
        BadInput: Optuna is missing; the study is damaged, is another sweep's, or cannot be written.
    """

    def __init__(self, folder: Path, grid: Mapping[str, Sequence[str]], about: Mapping[str, Any]) -> None:
        check_optuna()
        import optuna

        self.folder, self._grid = folder, {name: list(values) for name, values in grid.items()}
        asked = {"grid": self._grid, **about}
        with mendable(folder):
            folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
        with self._kept():
            if not (folder / FILE).exists() and any(not f.name.startswith(TEMPORARY) for f in folder.iterdir()):
                raise BadInput(f"{folder}: holds something else than a sweep; choose another --out")
            # Whoever asks is told what the queue holds: nothing is drawn at random.
            self._study = optuna.create_study(
                storage=f"sqlite:///{(folder / FILE).absolute()}",
                study_name="sweep",
                sampler=optuna.samplers.RandomSampler(seed=0),
                load_if_exists=True,
            )
            former = self._study.user_attrs.get("asked")
            if former is None:
                self._study.set_user_attr("asked", asked)
        if former is not None and (other := [name for name in asked if former.get(name) != asked[name]]):
            raise BadInput(f"{folder}: holds a sweep with another {other[0]}; choose another --out")

    def add(self, seeds: Sequence[int]) -> None:
        """Queue a trial for each point of the grid and each seed that is not there yet, seed by seed."""
        with self._kept():
            found = self._found()
            there, n = {_key(trial.values, trial.seed) for trial in found}, len(found)
            for seed, point in product(seeds, product(*self._grid.values())):
                values = dict(zip(self._grid, point, strict=True))
                if _key(values, seed) not in there:
                    self._queue({"values": values, "seed": seed, "name": f"trial-{n:04d}"})
                    n += 1

    def take(self) -> Taken | None:
        """Take the next trial; None if none waits."""
        with self._kept():
            for frozen in self._all("RUNNING"):
                if (handle := self._lock(frozen.number)) is not None:  # its process has ended
                    self._put_back(frozen.number, frozen.user_attrs["trial"])
                    self._unlock(frozen.number, handle)
            if not self._all("WAITING"):
                return None
            asked = self._study.ask()
            handle = self._lock(asked.number)
            assert handle is not None
            trial = Trial(**asked.user_attrs["trial"])
            for name in trial.values:  # for those who look at the study with Optuna's own tools
                asked.suggest_categorical(name, self._grid[name])
            asked.suggest_int("seed", 0, LARGEST_SEED)
            return Taken(trial, asked, handle)

    def finish(self, taken: Taken, distance: float, error: float | None) -> Trial:
        """Write down what a trial measured."""
        with self._kept():
            taken.asked.set_user_attr("error", error)
            self._study.tell(taken.asked, distance)
            self._unlock(taken.asked.number, taken.handle)
        return replace(taken.trial, distance=distance, error=error)

    def fail(self, taken: Taken, failure: str) -> Trial:
        """Write down why a trial has no figure."""
        with self._kept():
            taken.asked.set_user_attr("failure", failure)
            self._study.tell(taken.asked, state=_state("FAIL"))
            self._unlock(taken.asked.number, taken.handle)
        return replace(taken.trial, failure=failure)

    def put_back(self, taken: Taken) -> None:
        """Leave a trial to whoever takes it next."""
        with self._kept():
            self._put_back(taken.asked.number, taken.asked.user_attrs["trial"])
            self._unlock(taken.asked.number, taken.handle)

    def trials(self) -> list[Trial]:
        """Return all trials, in the order they were queued."""
        with self._kept():
            return self._found()

    def n_running(self) -> int:
        """Return how many trials some process is doing."""
        with self._kept():
            return len(self._all("RUNNING"))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep other processes out for a moment. Raises: BadInput where the study cannot be read or written."""
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError

        with mendable(self.folder), locked(self.folder):
            try:
                yield
            except (SQLAlchemyError, OptunaError) as error:
                why = in_one_line(error).partition(" [SQL")[0]
                raise BadInput(f"{self.folder / FILE}: cannot be used ({why}); choose another --out") from error

    def _all(self, *states: str) -> "list[FrozenTrial]":
        return self._study.get_trials(deepcopy=False, states=[_state(state) for state in states] or None)

    def _found(self) -> list[Trial]:
        """All trials, each once: what was put back is in the study a second time."""
        shown = [trial for trial in self._all() if trial.state != _state("FAIL") or "failure" in trial.user_attrs]
        found = [
            Trial(
                **trial.user_attrs["trial"],
                distance=trial.value,
                error=trial.user_attrs.get("error") if trial.value is not None else None,
                failure=trial.user_attrs.get("failure"),
            )
            for trial in shown
        ]
        return sorted(found, key=lambda trial: trial.name)

    def _queue(self, trial: dict[str, Any]) -> None:
        self._study.enqueue_trial(trial["values"] | {"seed": trial["seed"]}, user_attrs={"trial": trial})

    def _put_back(self, number: int, trial: dict[str, Any]) -> None:
        """A trial that ends without a figure and without a reason: another takes its place."""
        self._queue(trial)
        self._study.tell(number, state=_state("FAIL"))

    def _lock(self, number: int) -> int | None:
        """Lock the file of a running trial; None if another process has it."""
        handle = os.open(self._lock_file(number), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            lock(handle, wait=False)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def _unlock(self, number: int, handle: int) -> None:
        self._lock_file(number).unlink(missing_ok=True)
        os.close(handle)

    def _lock_file(self, number: int) -> Path:
        return self.folder / f".running-{number}"


def _state(name: str) -> "optuna.trial.TrialState":
    from optuna.trial import TrialState

    return TrialState[name]


def _key(values: Mapping[str, str], seed: int) -> str:
    return json.dumps([dict(values), seed], sort_keys=True)
