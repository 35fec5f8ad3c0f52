"""The whole flow: data → energy → sampling → training → evaluation → artifacts, as one stream of events.

Nothing here prints: whoever iterates sees each event as it happens, and shows what it likes.
"""

import math
from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ebmnist.artifacts import Checkpoint, RunFolder, TensorBoard, fingerprint, load_checkpoint, new_folder
from ebmnist.artifacts.environment import describe_environment
from ebmnist.artifacts.figures import UNDRAWABLE, save_section
from ebmnist.artifacts.measurements import Measurements, merged, read_former, write_measurements
from ebmnist.artifacts.report import write_parts
from ebmnist.artifacts.tables import picture_of, write_page
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Progress, unwatched
from ebmnist.examination import Begun, Examined, examine, sections_asked_for, subject_of
from ebmnist.gallery import Setting, gallery
from ebmnist.random import Purpose, Rng, check_seed
from ebmnist.recipe import Recipe
from ebmnist.trained import load, recipe_of
from ebmnist.training import Diverged, Judgement, Snapshot, StepRecord, TrainState, fit


class Updated(NamedTuple):
    """An update was done."""

    record: StepRecord
    judgement: Judgement
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


Event = Updated | Saved | Drawn | Undrawn | Begun | Examined
Events = Generator[Event, None, None]


def run(recipe: Recipe, path: Path, *, progress: Progress = unwatched) -> Events:
    """Train `recipe` into a new run folder, then measure, draw and report. Raises as `train`."""
    yield from train(recipe, path)
    yield from finish(path, progress=progress)


def run_on(path: Path, overrides: Sequence[str] = (), *, progress: Progress = unwatched) -> Events:
    """Resume a run, then measure, draw and report. Raises as `resume`."""
    yield from resume(path, overrides)
    yield from finish(path, progress=progress)


def train(recipe: Recipe, path: Path) -> Events:
    """Train `recipe` into a new run folder.

    A `KeyboardInterrupt` thrown in saves a checkpoint and comes out again, saying what to do next.

    Raises:
        BadInput: the folder exists, or the data cannot be had.
        Diverged: trouble outlasted the guard; the last healthy checkpoint stays.
    """
    state = recipe.make_state()
    images = recipe.load_data().train.images.to(recipe.device)
    with RunFolder.create(path, recipe.to_yaml()) as run:
        yield from _train(recipe, state, images, run)


def resume(path: Path, overrides: Sequence[str] = ()) -> Events:
    """Go on with a run where its latest checkpoint left it: on the same kind of processor, to the bit.

    Raises:
        BadInput: no such run, or its checkpoint cannot be read.
        Diverged: as `train`.
    """
    with RunFolder.open(path) as run:
        tensors, facts = load_checkpoint(path)
        recipe = recipe_of(facts, path).overridden(overrides)
        state = recipe.make_state()
        state.restore(Snapshot(tensors, facts))
        run.rewind(state.step)
        images = recipe.load_data().train.images.to(recipe.device)
        yield from _train(recipe, state, images, run)


def finish(path: Path, *, device: str | None = None, progress: Progress = unwatched) -> Events:
    """Draw a run's latest checkpoint, take a quick measure of it unless it has a better one, and write its report.

    Everything is computed on `device`; by default on the recipe's own. A `KeyboardInterrupt` comes out saying how to
    do all this again.

    Raises:
        BadInput: no such run, its checkpoint cannot be read, or no such device.
    """
    try:
        yield from _draw(path, device)
        former = read_former(path / "evaluation.json", _about(load_checkpoint(path), path))
        if former is not None and "fidelity" in former.sections and not former.sections["fidelity"].quick:
            yield Drawn(write_page(path, former))
        else:
            yield from evaluate(path, quick=True, only=("fidelity",), device=device, progress=progress)
    except KeyboardInterrupt:
        words = f"interrupted; the run is saved, draw it and measure it with: ebmnist report {path}"
        raise KeyboardInterrupt(words) from None


def _draw(path: Path, device: str | None) -> Events:
    run = RunFolder.open(path)
    model = load(path, device or recipe_of(load_checkpoint(path).facts, path).basics.device)
    rng = Rng(model.recipe.basics.seed, Purpose.GALLERY, model.device)
    parts = []
    for part in gallery(Setting(model, model.recipe.load_data(), run, rng)):
        parts.append(part)
        yield from map(Drawn, part.pictures)
    write_parts(run.figures / "gallery.json", parts)


def evaluate(
    path: Path,
    *,
    out: Path | None = None,
    quick: bool = False,
    only: Collection[str] = (),
    long: int | None = None,
    chains: int | None = None,
    outliers: Sequence[Path] = (),
    seed: int = 0,
    device: str | None = None,
    progress: Progress = unwatched,
) -> Generator[Event, None, dict[str, str]]:
    """Measure a run or checkpoint section by section, and write evaluation.json and report.html.

    Returns what could not be measured, and why, by section. Inside a section `progress` is told of the steps of long
    chains. A `KeyboardInterrupt`, at any instant, ends the measuring: what was measured until then is written, and it
    comes out again saying so. What an earlier evaluation of the same checkpoint has of other sections is kept.

    A run's go into its folder; a bare checkpoint's into `out`, which must not exist. `quick`, `only`, `long`, `chains`
    and `outliers` are those of `examination.sections_asked_for`. Everything is computed on `device`; by default on
    the recipe's own.

    Raises:
        BadInput: no such model, section, device or folder of outliers, a `long` that is too short, `chains` that
            are too few, or `out` is missing, or taken.
    """
    check_seed(seed)
    asked_for = sections_asked_for(only, quick=quick, long=long, chains=chains, outliers=outliers)
    is_run = (path / "recipe.yaml").is_file()
    if out is None and not is_run:
        raise BadInput(f"{path}: is a bare checkpoint; say where its evaluation goes, with --out FOLDER")
    folder = path if out is None else new_folder(out)
    figures = folder / "figures" if out is None else new_folder(folder / "figures")
    checkpoint = load_checkpoint(path)
    model = load(path, device or recipe_of(checkpoint.facts, path).basics.device)
    subject = subject_of(model, model.recipe.load_data(), checkpoint.tensors, progress)
    about = _about(checkpoint, path) | {"seed": seed, "quick": quick, "device": str(model.device)}
    measured, stopped = Measurements(about, describe_environment(), {}, {}), False
    try:
        for event in examine(subject, asked_for, seed=seed):
            yield event
            if isinstance(event, Examined):
                yield from _filed(event, measured, figures)
    except KeyboardInterrupt:
        if not measured.sections:
            raise KeyboardInterrupt("interrupted before a section was measured; nothing was written") from None
        stopped = True
    file = folder / "evaluation.json"
    whole = merged(read_former(file, about), measured)
    yield Drawn(write_measurements(file, whole))
    yield Drawn(write_page(folder, whole))
    if stopped:
        missing = ", ".join(name for name in asked_for if name not in measured.sections)
        raise KeyboardInterrupt(f"interrupted; what was measured is in {file}, without {missing}")
    return measured.failures


def _about(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """Which checkpoint is measured."""
    basics, updates = recipe_of(checkpoint.facts, path).basics, checkpoint.facts["step"]
    return {"recipe": basics.name, "about": basics.about, "updates": updates, "checkpoint": fingerprint(checkpoint)}


def _filed(event: Examined, measured: Measurements, figures: Path) -> Events:
    """File what became of a section, and draw it."""
    name, outcome, to_draw = event
    if isinstance(outcome, str):
        measured.failures[name] = outcome
        return
    assert to_draw is not None
    about, commit = measured.subject, measured.environment["commit"]
    measured.sections[name] = outcome._replace(quick=about["quick"], seed=about["seed"], commit=commit)
    picture = picture_of(name, figures)
    try:
        drawn = save_section(name, to_draw, picture, recipe=about["recipe"])
    except UNDRAWABLE as error:
        measured.failures[name] = why = f"{name}: its picture, {type(error).__name__}: {error}".splitlines()[0]
        yield Undrawn(name, why)
        return
    if drawn is not None:
        yield Drawn(picture)


def _train(recipe: Recipe, state: TrainState, images: Tensor, run: RunFolder) -> Events:
    saving = recipe.saving
    board = TensorBoard(run.path / "tensorboard", after=state.step) if saving.tensorboard else None
    saved_at, due = state.step, False
    try:
        for record, judgement in fit(state, images):
            run.log(record, judgement)
            if board is not None:
                board.log(record)
            if not math.isfinite(record.weight_norm) and not state.training.guard.enabled:
                raise Diverged(f"the weights are no longer finite at update {record.step}, and the guard is off")
            # A checkpoint waits until the run is out of trouble, so that a bad one never follows a good one.
            due = due or record.step % saving.checkpoint_every == 0 or record.step == state.training.n_updates
            if due and (state.memory.trouble == 0 or state.step == state.training.n_updates):
                yield Saved(_save(run, recipe, state))
                saved_at, due = state.step, False
            yield Updated(record, judgement, state.training.n_updates)
    except KeyboardInterrupt:
        if state.step > saved_at:
            _save(run, recipe, state)
        raise KeyboardInterrupt(f"interrupted, and saved; go on with: ebmnist resume {run.path}") from None
    finally:
        if board is not None:
            board.close()


def _save(run: RunFolder, recipe: Recipe, state: TrainState) -> Path:
    tensors, facts = state.snapshot()
    return run.save(tensors=tensors, facts=facts | {"recipe": recipe.fields}, keep=recipe.saving.keep)
