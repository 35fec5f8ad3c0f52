"""A trained energy, with what it takes to use it: `load` it, call it, sample it, denoise with it, pass it on."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebmnist.artifacts import RunFolder, load_checkpoint, new_folder, save_checkpoint
from ebmnist.data.base import Dataset
from ebmnist.energy.fast import packed_of
from ebmnist.energy.precision import in_full
from ebmnist.errors import BadInput
from ebmnist.evaluation.denoising import Stop, choose_stop, denoise
from ebmnist.native import Packed
from ebmnist.random import AnyRng
from ebmnist.recipe import Recipe, make_recipe
from ebmnist.training.state import load_weights


class Trained(nn.Module):
    """The averaged (EMA) energy of a checkpoint, with its recipe and the kernel it was trained with.

    Calling it gives the energy of each image, (B, 1, 28, 28) in [0, 1] -> (B,), low where likely.
    """

    def __init__(self, energy: nn.Module, recipe: Recipe, step: int) -> None:
        super().__init__()
        self.energy = energy
        self.recipe = recipe
        self.step = step
        self.kernel = recipe.make_kernel()
        self.n_steps = recipe.generation.n_steps

    def forward(self, x: Tensor) -> Tensor:
        """E(x)."""
        with in_full(x.device):  # whatever the energy
            value: Tensor = self.energy(x)
        return value

    def packed(self, *, rough: bool) -> Packed | None:
        """The energy's weights as the C++ reads them (`energy.fast.Packable`)."""
        return packed_of(self.energy, rough=rough)

    @property
    def capturable(self) -> bool:
        """Whether the energy can be captured in a graph (`energy.base.Energy`)."""
        return getattr(self.energy, "capturable", False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def choose_stop(self, sigma: float, rng: AnyRng, dataset: Dataset | None = None) -> Stop:
        """Where a descent from images of noise σ should stop: the best on 200 validation images."""
        clean = (dataset or self.recipe.load_data()).validation.images[:200].to(self.device)
        return choose_stop(self.energy, self.kernel, clean, sigma, rng=rng)

    def denoise(self, y: Tensor, sigma: float, rng: AnyRng) -> Tensor:
        """Clean images `y` of noise σ, (B, 1, 28, 28), by energy descent stopped where validation says."""
        stop = self.choose_stop(sigma, rng)
        return denoise(self.energy, self.kernel, y, stop.n_steps, rng=rng)


def load(path: str | Path, device: str = "cpu") -> Trained:
    """Load the averaged energy of a run folder's latest checkpoint, or of one checkpoint.

    Args:
        path: a run folder, or a checkpoint in it.
        device: where the weights go.

    Raises:
        BadInput: nothing to load there; an altered, truncated or foreign checkpoint.
    """
    tensors, facts = load_checkpoint(Path(path))
    recipe = recipe_of(facts, path).on(device)
    energy = recipe.make_energy()
    weights = {k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")}
    try:
        load_weights(energy, weights)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return Trained(energy.eval().requires_grad_(False), recipe, facts["step"])


def export(path: Path, out: Path) -> Path:
    """Write what it takes to use a model, and to say where it comes from, as a checkpoint in the folder `out`.

    That is the averaged weights, the recipe, the environment it was trained in and the figures of its evaluation; not
    the optimiser, the replay buffer and the rest of what training owns.

    Raises:
        BadInput: no such model, or it was not evaluated, or `out` exists.
    """
    tensors, facts = load_checkpoint(path)
    run = RunFolder.open(path)
    if not run.evaluation.is_file():
        raise BadInput(f"{path}: has no figures to go with it; first: ebmnist evaluate {path}")
    kept = {name: t for name, t in tensors.items() if name.startswith("ema.")}
    origin = {"made": run.read_environment(), "figures": json.loads(run.evaluation.read_text(encoding="utf-8"))}
    facts = {name: facts[name] for name in ("step", "seed", "recipe")} | origin
    return save_checkpoint(new_folder(out), tensors=kept, facts=facts)


def recipe_of(facts: dict[str, Any], path: str | Path) -> Recipe:
    """The recipe that a checkpoint carries among its facts. Raises `BadInput` where there is none."""
    if "recipe" not in facts:
        raise BadInput(f"{path}: this checkpoint carries no recipe; it was not made by ebmnist run or train")
    return make_recipe(facts["recipe"], origin=f"the recipe in {path}")
