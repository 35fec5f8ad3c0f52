"""Training as a stream of events: each update logged, checkpoints saved, and what there is kept when it is stopped."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from ebmnist.config import Recipe
from ebmnist.events import Events, Resumed, Saved, Updated
from ebmnist.ranks import RankLost
from ebmnist.reporting import RunFolder, TensorBoard
from ebmnist.reporting.history import images_digest
from ebmnist.training import Diverged, StepRecord, TrainState, fit


def update(
    recipe: Recipe, state: TrainState, images: Tensor, path: Path, run: RunFolder | None, resumed: Resumed | None = None
) -> Events:
    """Train `state` on `images` to its end, into the run folder `path`; ranks that do not write have no `run`.

    A `KeyboardInterrupt` thrown in between two updates saves a checkpoint. It comes out saying what to do next.

    Raises:
        BadInput: the disk is full.
        RankLost: another rank has ended; the last checkpoint stays.
        Diverged: the guard could not stabilise training, or is off and a weight is not finite.
    """
    try:
        yield from _beside(state, images) if run is None else _written(recipe, state, images, run, resumed)
    except RankLost as error:
        raise RankLost(f"{error}; go on from the last checkpoint with: ebmnist resume {path}") from error


def _beside(state: TrainState, images: Tensor) -> Events:
    """The updates of a rank that writes nothing."""
    for record, decision in fit(state, images):
        _check_weights(state, record)
        yield Updated(record, decision, state.training.n_updates)


def _written(recipe: Recipe, state: TrainState, images: Tensor, run: RunFolder, resumed: Resumed | None) -> Events:
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
            _check_weights(state, record)
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


def _check_weights(state: TrainState, record: StepRecord) -> None:
    if not math.isfinite(record.weight_norm) and not state.training.guard.enabled:
        raise Diverged(f"the weights are no longer finite at update {record.step}, and the guard is off")


def _save(run: RunFolder, state: TrainState, about: dict[str, Any], keep: int) -> Path:
    tensors, facts = state.snapshot(copied=False)
    return run.save(tensors=tensors, facts=facts | about, keep=keep)
