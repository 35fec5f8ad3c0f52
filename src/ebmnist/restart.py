"""A run that was killed before its first checkpoint: it is given one of update 0, from which `resume` goes on."""

from collections.abc import Sequence
from pathlib import Path

from ebmnist.artifacts import RunFolder
from ebmnist.errors import BadInput
from ebmnist.recipe import load_recipe


def restart(path: Path, overrides: Sequence[str] = ()) -> Path:
    """Write the checkpoint of update 0, by the run's own recipe and seed, and return its path.

    Raises:
        BadInput: no such run, it has a checkpoint, or another process writes it.
    """
    with RunFolder.open(path) as run:
        if run.has_checkpoint():
            raise BadInput(f"{path}: has a checkpoint to go on from; leave out --restart")
        recipe = load_recipe(str(run.recipe), overrides)
        state = recipe.make_state()
        run.rewind(state.step)
        tensors, facts = state.snapshot()
        return run.save(tensors=tensors, facts=facts | {"recipe": recipe.fields}, keep=recipe.saving.keep)
