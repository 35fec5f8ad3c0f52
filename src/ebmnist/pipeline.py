"""The whole flow: data → energy → sampling → training → evaluation → artifacts, as one stream of events.

Nothing here prints: whoever iterates sees each event as it happens, and shows what it likes.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ebmnist.config import Recipe, load_recipe
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import ProgressCallback, unwatched
from ebmnist.events import Drawn, Event, Events, Resumed, Saved, Undrawn, Updated
from ebmnist.measuring import evaluate
from ebmnist.random import Purpose, Rng
from ebmnist.reporting import Checkpoint, RunFolder, TensorBoard, check_writable, fingerprint, load_checkpoint
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.reporting.history import changes_between, check_changes, images_digest, read_history
from ebmnist.reporting.measurements import read_former
from ebmnist.reporting.parts import write_parts
from ebmnist.reporting.place import tidy
from ebmnist.reporting.tables import write_page
from ebmnist.run_plots import Setting, run_plots
from ebmnist.trained import identity_of, make_trained, recipe_of
from ebmnist.training import Diverged, Snapshot, TrainState, fit
from ebmnist.training.restoring import check_snapshot

__all__ = [
    "Drawn",
    "Event",
    "Events",
    "Resumed",
    "Saved",
    "Undrawn",
    "Updated",
    "evaluate",
    "finish",
    "resume",
    "run",
    "run_on",
    "train",
]


def run(recipe: Recipe, path: Path, *, progress: ProgressCallback = unwatched) -> Events:
    """Train `recipe` into a new run folder, then measure, draw and report. Raises as `train`."""
    yield from train(recipe, path)
    yield from finish(path, progress=progress)


def run_on(
    path: Path, overrides: Sequence[str] = (), *, restart: bool = False, progress: ProgressCallback = unwatched
) -> Events:
    """Resume a run, then measure, draw and report. Raises as `resume`."""
    yield from resume(path, overrides, restart=restart)
    yield from finish(path, progress=progress)


def train(recipe: Recipe, path: Path) -> Events:
    """Train `recipe` into a new run folder.

    A `KeyboardInterrupt` thrown in saves a checkpoint and comes out again, saying what to do next. One that is raised
    in the middle of an update saves nothing: the run goes on from its last checkpoint.

    Raises:
        BadInput: the folder exists, or the data cannot be had.
        Diverged: the guard could not stabilise training; the last healthy checkpoint stays.
    """
    state = recipe.make_state()
    images = recipe.load_data().train.images.to(recipe.device)
    with RunFolder.create(path, recipe.to_yaml()) as run:
        yield from _train(recipe, state, images, run)


def resume(path: Path, overrides: Sequence[str] = (), *, restart: bool = False) -> Events:
    """Go on with a run where its latest checkpoint left it: on the same kind of processor, to the bit.

    With `restart`, a run that was killed before its first checkpoint begins again at update 0. Overrides, commit and
    machine of each such session go into the run's history, and recipe.yaml becomes the recipe in force.

    Raises:
        BadInput: no such run, it cannot be written, another process writes it, its checkpoint cannot be read, it has
            none, or one in spite of `restart`, or an override that a resumed run cannot follow.
        Diverged: as `train`.
    """
    with RunFolder.open(path) as run:
        check_writable(path)
        run.lock()  # first: a training beside may be about to save what would then be the latest
        checkpoint = _latest(run, restart=restart)
        before = load_recipe(str(run.recipe)) if checkpoint is None else recipe_of(checkpoint.facts, path)
        recipe = before.overridden(overrides)
        changes = changes_between(before.fields, recipe.fields)
        check_changes(changes)
        state = recipe.make_state()
        if checkpoint is not None:
            snapshot = Snapshot(*checkpoint)
            check_snapshot(snapshot, state, str(path))
            state.restore(snapshot)
        images = recipe.load_data().train.images
        _check_images(images, checkpoint, path)
        run.rewind(state.step)
        if state.step < state.training.n_updates:
            run.record_session(state.step, recipe.to_yaml(), changes)
        yield from _train(recipe, state, images.to(recipe.device), run, Resumed(state.step, changes))


def _latest(run: RunFolder, *, restart: bool) -> Checkpoint | None:
    """The checkpoint that a run goes on from; None for a `restart`. Raises: BadInput."""
    if restart and list_checkpoints(run.checkpoints):
        raise BadInput(f"{run.path}: has a checkpoint to go on from; leave out --restart")
    if restart:
        return None
    try:
        return load_checkpoint(run.path)
    except BadInput as error:
        if not list_checkpoints(run.checkpoints):
            raise
        raise BadInput(
            f"{error}; resume goes on from the newest: move a damaged one out of {run.checkpoints}"
        ) from error


def _check_images(images: Tensor, checkpoint: Checkpoint | None, path: Path) -> None:
    """Refuse to go on with other images than before; a former version's checkpoint does not say which those were."""
    digest = images_digest(images)
    if checkpoint is not None and checkpoint.facts.get("images", digest) != digest:
        raise BadInput(f"{path}: was trained on other images than these; name the folder of those with --data.root")


def finish(
    path: Path, *, device: str | None = None, data_root: Path | None = None, progress: ProgressCallback = unwatched
) -> Events:
    """Draw a run's latest checkpoint, take a quick measure of it unless it has a better one, and write its report.

    `device` is where to compute; by default the recipe's own. `data_root` is where the data are now, if they were
    moved. A `KeyboardInterrupt` comes out saying how to do all this again.

    Raises:
        BadInput: no such run, it cannot be written, its checkpoint cannot be read, or no such device.
    """
    try:
        run = RunFolder.open(path)
        tidy(path)
        checkpoint, history = load_checkpoint(path), read_history(run.history)
        yield from _draw(run, checkpoint, device, data_root)
        former = read_former(run.evaluation, identity_of(checkpoint, path))
        if former is not None and "fidelity" in former.sections and not former.sections["fidelity"].quick:
            yield Drawn(write_page(path, former, history))
        else:
            yield from evaluate(
                path,
                quick=True,
                only=("fidelity",),
                device=device,
                data_root=data_root,
                checkpoint=checkpoint,
                progress=progress,
            )
    except KeyboardInterrupt:
        words = f"interrupted; the run is saved, draw it and measure it with: ebmnist report {path}"
        raise KeyboardInterrupt(words) from None


def _draw(run: RunFolder, checkpoint: Checkpoint, device: str | None, data_root: Path | None) -> Events:
    model = make_trained(checkpoint, run.path, device, data_root)
    rng = Rng(model.recipe.basics.seed, Purpose.PLOTS, model.device)
    parts = []
    for part in run_plots(Setting(model, model.recipe.load_data(), run, rng, checkpoint)):
        parts.append(part)
        yield from map(Drawn, part.pictures)
    write_parts(run.figures / "plots.json", parts, fingerprint(checkpoint))


def _train(recipe: Recipe, state: TrainState, images: Tensor, run: RunFolder, resumed: Resumed | None = None) -> Events:
    saving, about = recipe.saving, {"recipe": recipe.fields, "images": images_digest(images)}
    board = TensorBoard(run.path / "tensorboard", after=state.step) if saving.tensorboard else None
    saved_at, due, whole = state.step, False, True
    try:
        if resumed is not None:
            yield resumed
        for record, decision in fit(state, images):
            run.log(record, decision)
            whole = True
            if board is not None:
                board.log(record)
            if not math.isfinite(record.weight_norm) and not state.training.guard.enabled:
                raise Diverged(f"the weights are no longer finite at update {record.step}, and the guard is off")
            # A checkpoint waits until the run is out of n_unhealthy, so that a bad one never follows a good one.
            due = due or record.step % saving.checkpoint_every == 0 or record.step == state.training.n_updates
            if due and (state.guard_state.n_unhealthy == 0 or state.step == state.training.n_updates):
                yield Saved(_save(run, state, about, saving.keep))
                saved_at, due = state.step, False
            yield Updated(record, decision, state.training.n_updates)
            whole = False
    except KeyboardInterrupt:
        if whole and state.step > saved_at:  # in the middle of an update it would not resume to the bit
            _save(run, state, about, saving.keep)
            saved_at = state.step
        done, again = (f"saved at update {saved_at}", "") if saved_at else ("before the first checkpoint", " --restart")
        raise KeyboardInterrupt(f"interrupted, {done}; go on with: ebmnist resume {run.path}{again}") from None
    finally:
        if board is not None:
            board.close()


def _save(run: RunFolder, state: TrainState, about: dict[str, Any], keep: int) -> Path:
    tensors, facts = state.snapshot()
    return run.save(tensors=tensors, facts=facts | about, keep=keep)
