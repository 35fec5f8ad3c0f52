"""A sweep as a stream of events: trains a recipe at each point of a grid and each seed, and measures the samples."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ebmnist.config import Recipe
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import Metric, ProgressCallback, unwatched
from ebmnist.evaluation.runner import SectionStarted
from ebmnist.evaluation.validation import validation_distance
from ebmnist.events import Drawn, Events, TrialEnded, TrialStarted, WorkersAwaited
from ebmnist.pipeline import resume, train
from ebmnist.random import Rng
from ebmnist.reporting import load_checkpoint
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.reporting.report import Part
from ebmnist.reporting.study import Study, Taken, check_optuna
from ebmnist.reporting.sweep_tables import table_of, write_sweep
from ebmnist.trained import make_trained
from ebmnist.training import Diverged

MOST_TRIALS = 1000
SECONDS_BETWEEN_LOOKS = 2.0  # at what other processes do


@dataclass(frozen=True)
class Sweep:
    """What is asked for.

    Raises:
        BadInput: a field that the recipe does not have, a value out of its range, two points that are the same recipe,
            or over 1,000 trials.
    """

    recipe: Recipe
    """What all trials have in common; its seed is the first one's."""
    grid: Mapping[str, Sequence[str]]
    """The values of each field, by dotted path, as they would be given to `--section.field`."""
    n_seeds: int = 1
    """≥ 1."""
    n: int = 1000
    """Samples that a trial is measured by, ≥ 256."""

    def __post_init__(self) -> None:
        for name in self.grid:
            if "." not in name:
                raise BadInput(f"--grid {name}: name a field as section.field; seeds are given by --seeds")
        n_trials = self.n_seeds * len(list(product(*self.grid.values())))
        if n_trials > MOST_TRIALS:
            raise BadInput(f"--grid: {n_trials:,} trials; ask for at most {MOST_TRIALS:,}")
        seen: dict[str, str] = {}
        for point in product(*self.grid.values()):
            values = dict(zip(self.grid, point, strict=True))
            told = ", ".join(f"{name}={value}" for name, value in values.items())
            if (former := seen.setdefault(self.recipe_of(values, self.seeds[0]).to_yaml(), told)) != told:
                raise BadInput(f"--grid: {former} and {told} are the same recipe; leave one out")

    @property
    def seeds(self) -> range:
        """The seeds of each point."""
        return range(self.recipe.basics.seed, self.recipe.basics.seed + self.n_seeds)

    @property
    def about(self) -> str:
        """How each trial is made and measured, in one sentence."""
        r = self.recipe
        return (
            f"Recipe {r.basics.name}, {r.make_training().n_updates:,} updates; Fréchet distance of {self.n:,} samples "
            "from noise to the validation images."
        )

    def recipe_of(self, values: Mapping[str, str], seed: int) -> Recipe:
        """Return the recipe of a trial. Raises: BadInput: an unknown field, or a value out of its range."""
        fields = [f"--{name}={value}" for name, value in values.items()]
        return self.recipe.overridden([*fields, f"--seed={seed}"])


def sweep(asked: Sweep, folder: Path, *, progress: ProgressCallback = unwatched) -> Events:
    """Do the trials that are not done, each in a run folder inside `folder`, until all are; then write the table.

    Any number of processes may call this for the same sweep: no trial is done twice, and each process waits for the
    others at the end. A trial that diverges has failed, and says so. A `KeyboardInterrupt` comes out saying how to go
    on; the trial it was at goes on from its last checkpoint.

    Raises:
        BadInput: Optuna is missing; the folder holds another sweep, or cannot be written; the data cannot be had.
    """
    check_optuna()
    study = begin(asked, folder)
    try:
        for taken in _turns(study):
            if isinstance(taken, Taken):
                yield from _tried(asked, study, taken, progress)
                _write(asked, study)
            else:
                yield WorkersAwaited(taken)
                time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        trials = study.trials()
        done = f"{sum(trial.is_done for trial in trials)} of {len(trials)} trials are done"
        raise KeyboardInterrupt(f"interrupted; {done}, and the same command goes on") from None
    yield from map(Drawn, _write(asked, study))


def begin(asked: Sweep, folder: Path) -> Study:
    """Return the study of a sweep, made or taken up, with all trials in it. Raises: BadInput, as `sweep`."""
    fields = {name: value for name, value in asked.recipe.fields.items() if name != "seed"}
    about = {"recipe": json.dumps(fields, sort_keys=True), "number of samples": asked.n}
    study = Study(folder, asked.grid, about)
    study.add(asked.seeds)
    return study


def result(asked: Sweep, folder: Path) -> tuple[Part, bool]:
    """Return the table of a sweep that has been done, and whether every trial has a figure. Raises: BadInput."""
    trials = begin(asked, folder).trials()
    return table_of(trials, asked.about), all(trial.distance is not None for trial in trials)


def _turns(study: Study) -> Iterator[Taken | int]:
    """Each trial that this process takes; while there is none, how many others are doing."""
    while True:
        taken = study.take()
        if taken is None and not (n_running := study.n_running()):
            return
        yield n_running if taken is None else taken


def _tried(asked: Sweep, study: Study, taken: Taken, progress: ProgressCallback) -> Events:
    """Train and measure one trial; if that is stopped, others may take it."""
    trial, trials = taken.trial, study.trials()
    number = sum(t.is_done for t in trials) + 1
    try:
        yield TrialStarted(trial, number, len(trials))
        yield from _trained(asked.recipe_of(trial.values, trial.seed), study.folder / trial.name)
        yield SectionStarted(trial.name, number, len(trials))
        distance = _measured(study.folder / trial.name, asked.n, progress)
    except (Diverged, Unmeasurable) as error:
        # A report of what was seen follows the first sentence.
        yield TrialEnded(study.fail(taken, str(error).splitlines()[0].partition(". What was seen")[0]))
    except BaseException:
        study.put_back(taken)
        raise
    else:
        yield TrialEnded(study.finish(taken, distance.value, distance.error))


def _trained(recipe: Recipe, run: Path) -> Events:
    """Train into a run folder, or go on with what is there."""
    if (run / "recipe.yaml").is_file():
        yield from resume(run, restart=not list_checkpoints(run / "checkpoints"))
    else:
        yield from train(recipe, run)


def _measured(run: Path, n: int, progress: ProgressCallback) -> Metric:
    model = make_trained(load_checkpoint(run), run)
    images, rng = model.recipe.load_data().validation.images, Rng(model.recipe.basics.seed, device=model.device)
    return validation_distance(model, model.sampler(), images, n, rng=rng, progress=progress)


def _write(asked: Sweep, study: Study) -> list[Path]:
    return write_sweep(study.folder, study.trials(), recipe=asked.recipe.basics.name, about=asked.about)
