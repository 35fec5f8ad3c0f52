"""The whole flow: data → energy → sampling → training → evaluation → artifacts, as one stream of events.

Nothing here prints: whoever iterates sees each event as it happens, and shows what it likes.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from ebmnist.config import Recipe, load_recipe
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import ProgressCallback, unwatched
from ebmnist.events import Drawn, Event, Events, Resumed, Saved, Undrawn, Updated
from ebmnist.measuring import evaluate
from ebmnist.random import Purpose, Rng
from ebmnist.ranks import ALONE, Ranks
from ebmnist.reporting import Checkpoint, RunFolder, check_writable, fingerprint, load_checkpoint
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.reporting.environment import digests
from ebmnist.reporting.history import changes_between, check_changes, images_digest, read_history
from ebmnist.reporting.measurements import read_former
from ebmnist.reporting.parts import write_parts
from ebmnist.reporting.place import tidy
from ebmnist.reporting.tables import write_page
from ebmnist.trained import identity_of, make_trained, recipe_of
from ebmnist.training import Snapshot, TrainState
from ebmnist.training.restoring import check_snapshot
from ebmnist.training.step import check_ranks
from ebmnist.updating import update

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


def run(recipe: Recipe, path: Path, *, ranks: Ranks = ALONE, progress: ProgressCallback = unwatched) -> Events:
    """Train `recipe` into a new run folder, then measure, draw and report: by rank 0 alone. Raises as `train`."""
    yield from train(recipe, path, ranks=ranks)
    if ranks.first:
        yield from finish(path, progress=progress)


def run_on(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    restart: bool = False,
    ranks: Ranks = ALONE,
    progress: ProgressCallback = unwatched,
) -> Events:
    """Resume a run, then measure, draw and report: by rank 0 alone. Raises as `resume`."""
    yield from resume(path, overrides, restart=restart, ranks=ranks)
    if ranks.first:
        yield from finish(path, progress=progress)


def train(recipe: Recipe, path: Path, *, ranks: Ranks = ALONE) -> Events:
    """Train `recipe` into a new run folder; of several `ranks`, each calls this, and rank 0 writes.

    A `KeyboardInterrupt` thrown in saves a checkpoint and comes out again, saying what to do next. One that is raised
    in the middle of an update saves nothing: the run goes on from its last checkpoint.

    Raises:
        BadInput: the folder exists, or the data cannot be had.
        Diverged: the guard could not stabilise training; the last healthy checkpoint stays.
    """
    with ranks.agreed():
        state = _state_on(ranks, recipe)
        images = recipe.load_data().train.pixels.to(recipe.device)
        _check_alike(recipe, images, state)
    with ExitStack() as stack:
        with ranks.agreed():
            run = stack.enter_context(RunFolder.create(path, recipe.to_yaml())) if ranks.first else None
        yield from update(recipe, state, images, path, run)


def resume(path: Path, overrides: Sequence[str] = (), *, restart: bool = False, ranks: Ranks = ALONE) -> Events:
    """Go on with a run where its latest checkpoint left it: on the same kind of processor, to the bit.

    With `restart`, a run that was killed before its first checkpoint begins again at update 0. Overrides, commit and
    machine of each such session go into the run's history, and recipe.yaml becomes the recipe in force. The number of
    `ranks` may be another than before; each reads the checkpoint.

    Raises:
        BadInput: no such run, it cannot be written, another process writes it, its checkpoint cannot be read, it has
            none, or one in spite of `restart`, or an override that a resumed run cannot follow.
        Diverged: as `train`.
    """
    with ExitStack() as stack:
        with ranks.agreed():
            run = stack.enter_context(RunFolder.open(path))
            if ranks.first:
                check_writable(path)
                run.lock()  # first: a training beside may be about to save what would then be the latest
            checkpoint = _latest(run, restart=restart)
            before = load_recipe(str(run.recipe)) if checkpoint is None else recipe_of(checkpoint.facts, path)
            recipe = before.overridden(overrides)
            changes = changes_between(before.fields, recipe.fields)
            check_changes(changes)
            state = _state_on(ranks, recipe)
            if checkpoint is not None:
                snapshot = Snapshot(checkpoint.tensors, checkpoint.facts)
                check_snapshot(snapshot, state, str(path))
                state.restore(snapshot)
            images = recipe.load_data().train.pixels
            _check_images(images, checkpoint, path)
            _check_alike(recipe, images, state)
        with ranks.agreed():
            if ranks.first:
                run.rewind(state.step)
                if state.step < state.training.n_updates:
                    run.record_session(state.step, recipe.to_yaml(), changes)
        resumed = Resumed(state.step, changes)
        yield from update(recipe, state, images.to(recipe.device), path, run if ranks.first else None, resumed)


def _state_on(ranks: Ranks, recipe: Recipe) -> TrainState:
    """What training owns, at update 0, for ranks to share its work. Raises: BadInput for too many of them."""
    state = recipe.make_state()
    state.ranks = ranks
    check_ranks(state)
    return state


def _check_alike(recipe: Recipe, images: Tensor, state: TrainState) -> None:
    """Refuse ranks that would not compute the same thing. Raises: BadInput."""
    if state.ranks.joined:
        state.ranks.check_alike(digests(recipe.to_yaml(), images, state.snapshot(copied=False)))


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
    from ebmnist.run_plots import Setting, run_plots  # imports Matplotlib: not while a run trains

    model = make_trained(checkpoint, run.path, device, data_root)
    rng = Rng(model.recipe.basics.seed, Purpose.PLOTS, model.device)
    parts = []
    for part in run_plots(Setting(model, model.recipe.load_data(), run, rng, checkpoint)):
        parts.append(part)
        yield from map(Drawn, part.pictures)
    write_parts(run.figures / "plots.json", parts, fingerprint(checkpoint))
