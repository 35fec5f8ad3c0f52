"""The whole flow: data → energy → sampling → training → evaluation → artifacts, as one stream of events.

Nothing here prints: whoever iterates sees each event as it happens, and shows what it likes.
"""

import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.artifacts import RunFolder, TensorBoard, load_checkpoint
from ebmnist.artifacts.report import write_report
from ebmnist.gallery import Setting, gallery
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


Event = Updated | Saved | Drawn
Events = Generator[Event, None, None]


def run(recipe: Recipe, path: Path) -> Events:
    """Train `recipe` into a new run folder, then measure, draw and report. Raises as `train`."""
    yield from train(recipe, path)
    yield from finish(path)


def run_on(path: Path, overrides: Sequence[str] = ()) -> Events:
    """Resume a run, then measure, draw and report. Raises as `resume`."""
    yield from resume(path, overrides)
    yield from finish(path)


def train(recipe: Recipe, path: Path) -> Events:
    """Train `recipe` into a new run folder.

    A `KeyboardInterrupt` thrown in saves a checkpoint and goes on its way.

    Raises:
        BadInput: the folder exists, or the data cannot be had.
        Diverged: trouble outlasted the guard; the last healthy checkpoint stays.
    """
    state = recipe.make_state()
    images = recipe.load_data().train.images.to(recipe.device)
    with RunFolder.create(path, recipe.to_yaml()) as run:
        yield from _train(recipe, state, images, run)


def resume(path: Path, overrides: Sequence[str] = ()) -> Events:
    """Go on with a run where its latest checkpoint left it, to the bit.

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


def finish(path: Path) -> Events:
    """Measure a run's latest checkpoint, draw its pictures and write its report.

    Raises:
        BadInput: no such run, or its checkpoint cannot be read.
    """
    run = RunFolder.open(path)
    model = load(path)
    basics = model.recipe.basics
    setting = Setting(model, model.recipe.load_data(), run, torch.Generator(model.device).manual_seed(basics.seed))
    parts = []
    for part in gallery(setting):
        parts.append(part)
        yield from map(Drawn, part.pictures)
    environment = {k: str(v) for k, v in run.read_environment().items() if v is not None}
    facts = {"recipe": basics.name, "seed": str(basics.seed), "updates": str(model.step), **environment}
    write_report(
        run.report,
        title=f"ebmnist · {basics.name}",
        about=basics.about,
        facts=facts,
        headline=(),
        parts=parts,
    )
    yield Drawn(run.report)


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
            if due and state.memory.trouble == 0:
                yield Saved(_save(run, recipe, state))
                saved_at, due = state.step, False
            yield Updated(record, judgement, state.training.n_updates)
    except KeyboardInterrupt:
        if state.step > saved_at:
            _save(run, recipe, state)
        raise
    finally:
        if board is not None:
            board.close()


def _save(run: RunFolder, recipe: Recipe, state: TrainState) -> Path:
    tensors, facts = state.snapshot()
    return run.save(tensors=tensors, facts=facts | {"recipe": recipe.fields}, keep=recipe.saving.keep)
