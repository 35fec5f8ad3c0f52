"""A trained energy passed on: saved, exported without its training state, or calibrated for scoring without data."""

from pathlib import Path
from typing import Any

import torch

from ebmnist.errors import BadInput
from ebmnist.inference.detector import Detector
from ebmnist.reporting import RunFolder, check_writable, load_checkpoint, new_folder, save_checkpoint
from ebmnist.reporting.detectors import read_detector, save_detector
from ebmnist.reporting.history import read_history
from ebmnist.reporting.measurements import read_measurements_of, to_json
from ebmnist.trained import Trained, identity_of, load
from ebmnist.training.state import load_weights


def save(trained: Trained, folder: Path) -> Path:
    """Write weights and recipe to a new folder, which `load` reads.

    Raises:
        BadInput: the folder exists; the recipe's section `energy` builds another energy.
    """
    built, weights = trained.recipe.make_energy(), trained.energy.state_dict()
    mend = "give the same fields to both, or leave the energy to the recipe: EBM(recipe=…)"
    try:
        load_weights(built, weights)
    except BadInput as error:
        raise BadInput(f"save_pretrained: the recipe builds another energy ({error}); {mend}") from error
    x = torch.linspace(0, 1, 28 * 28, device=trained.device).view(1, 1, 28, 28)
    with torch.no_grad():
        alike = torch.allclose(Trained(built.eval(), trained.recipe, 0)(x), trained(x))
    if not alike:
        raise BadInput(f"save_pretrained: the recipe builds an energy of other values; {mend}")
    tensors = {f"ema.{name}": value for name, value in weights.items()}
    facts = {"step": trained.step, "seed": trained.recipe.basics.seed, "recipe": trained.recipe.fields}
    path = save_checkpoint(new_folder(folder), tensors=tensors, facts=facts)
    _pass_on(trained.stored_detector(), path)
    return path


def export(path: Path, out: Path) -> Path:
    """Write what it takes to use a model, and to say where it comes from, as a checkpoint in the folder `out`.

    The folder holds the averaged weights, the recipe, the environment, the sessions of training, and the metrics of
    the evaluation, and the detector of outliers if there is one. The rest of training's state is left out.

    Raises:
        BadInput: no such model, or these weights were not evaluated, or `out` exists.
    """
    checkpoint = load_checkpoint(path)
    run = RunFolder.open(path)
    if not run.evaluation.is_file():
        raise BadInput(f"{path}: has no figures to go with it; first: ebmnist evaluate {path}")
    figures = read_measurements_of(run.evaluation, identity_of(checkpoint, path))
    kept = {name: t for name, t in checkpoint.tensors.items() if name.startswith("ema.")}
    # Whoever was told that env.json is damaged may have deleted it.
    origin: dict[str, Any] = {"made": run.read_environment()} if run.environment.is_file() else {}
    origin |= {
        "resumed": [session._asdict() for session in read_history(run.history)],
        "figures": to_json(figures),
    }
    facts = {name: checkpoint.facts[name] for name in ("step", "seed", "recipe") if name in checkpoint.facts} | origin
    detector = None if checkpoint.path is None else read_detector(checkpoint.path)
    written = save_checkpoint(new_folder(out), tensors=kept, facts=facts)
    _pass_on(detector, written)
    return written


def _pass_on(detector: Detector | None, checkpoint: Path) -> None:
    """Write a detector, if there is one, beside a copy of its weights."""
    if detector is not None:
        save_detector(checkpoint, detector)


def calibrate(path: Path, *, device: str = "cpu", data_root: Path | None = None, seed: int = 0) -> Path:
    """Fit a detector of outliers to a model and its recipe's data, and store it in the folder of its checkpoint.

    Raises:
        BadInput: no such model; data that cannot be read or that no detector can be fitted to; a folder that cannot
            be written.
    """
    model = load(path, device, data_root)
    assert model.folder is not None
    check_writable(model.folder)
    return save_detector(model.folder, model.fitted_detector(seed))
