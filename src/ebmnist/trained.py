"""A trained energy, with what it takes to use it: `load` it, call it, sample it, score with it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebmnist.config import Recipe, make_recipe
from ebmnist.energies import REGISTRY
from ebmnist.energies.base import features_of
from ebmnist.energies.border import check_form, check_scale
from ebmnist.energies.fast import native_net_of, traced
from ebmnist.energies.freezing import memo_of
from ebmnist.energies.levels import check_sigma, levels_of
from ebmnist.energies.precision import in_full
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.inference.detector import N_STAGES, Detector, fit_detector
from ebmnist.inference.generation import OF_TRAINING
from ebmnist.native import NativeNet
from ebmnist.reading import from_home
from ebmnist.reporting import Checkpoint, fingerprint, load_checkpoint
from ebmnist.reporting.detectors import read_detector
from ebmnist.sampling.base import Kernel, Sampler
from ebmnist.sampling.samples import box_of, walls_of
from ebmnist.terminal import steps_bar
from ebmnist.training.restoring import check_weights
from ebmnist.training.state import load_weights


class Trained(nn.Module):
    """The averaged (EMA) energy of a checkpoint, with its recipe and the kernel it was trained with.

    Calling it gives the energy of each image, (B, 1, 28, 28) in [0, 1] -> (B,), low where likely; noise may lead
    beyond [0, 1]. A call that nothing traces raises `BadInput` for images of another shape, type or scale.
    """

    def __init__(self, energy: nn.Module, recipe: Recipe, step: int, folder: Path | None = None) -> None:
        super().__init__()
        self.energy = energy
        self.recipe = recipe
        self.step = step
        self.folder = folder  # of the checkpoint that it was read from
        self._detector: Detector | None = None  # read or fitted, when it was first asked for
        self.kernel = recipe.make_kernel()
        self.n_steps = self.sampler(OF_TRAINING).n_steps  # of a chain of that kernel
        self.box, self.walls = _widest(self.kernel), walls_of(self.kernel)  # of the values that images may have

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """E(x), or E(x, σ) of an energy that is told the noise level (`levels`)."""
        if not traced():
            check_form(x, list(self.parameters()))
            if memo_of(self) is None and sigma is None:  # a chain's energy is a frozen copy, and it may stand anywhere
                check_scale(x, box=self.box, walls=self.walls)
            if memo_of(self) is None and sigma is not None:
                check_sigma(sigma, x, self.levels)
        with in_full(x.device):  # whatever the energy
            value: Tensor = self.energy(x) if sigma is None else self.energy(x, sigma)
        return value

    def checked(self, x: Tensor) -> Tensor:
        """Return `x` itself, if it is images as the energy takes them; a chain would not check them.

        Raises:
            BadInput: images of another type, shape or scale.
        """
        check_form(x, list(self.parameters()))
        check_scale(x, box=self.box, walls=self.walls)
        return x

    @property
    def levels(self) -> tuple[float, float] | None:
        """The least and the most noise that the energy is told, in pixels; None if it is told nothing."""
        return levels_of(self.energy)

    def native_net(self, *, low_precision: bool) -> NativeNet | None:
        """The energy's weights as the C++ reads them (`energy.fast.HasNativeNet`)."""
        return native_net_of(self.energy, low_precision=low_precision)

    def features(self, x: Tensor) -> Tensor | None:
        """The energy's hidden features (`energies.base.HasFeatures`); None where it has none."""
        return features_of(self.energy, x)

    @property
    def capturable(self) -> bool:
        """Whether the energy can be captured in a graph (`energy.base.Energy`)."""
        return getattr(self.energy, "capturable", False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def sampler(self, name: str | None = None, n_steps: int | None = None) -> Sampler:
        """How samples are drawn: by the recipe's sampler where `name` is None (`inference.generation.Generation`).

        Raises:
            BadInput: no such sampler; too few steps for it; an energy that it cannot serve; steps that end within an
                annealing cycle.
        """
        return self.recipe.generation.sampler_of(self.kernel, name, n_steps)

    def stored_detector(self) -> Detector | None:
        """The detector of outliers that is stored beside the weights, if there is one. Raises: BadInput: damaged."""
        if self._detector is None and self.folder is not None:
            self._detector = read_detector(self.folder)
        return self._detector

    def detector(self) -> Detector:
        """The stored detector; where there is none, one that is fitted now to the recipe's data, once.

        Raises:
            BadInput: a damaged detector; data that cannot be read, or that no detector can be fitted to.
        """
        if (stored := self.stored_detector()) is not None:
            return stored
        self._detector = self.fitted_detector()
        return self._detector

    def fitted_detector(self, seed: int = 0) -> Detector:
        """Fit a detector to the recipe's data; `seed` is of its noise. Raises: `BadInput`, as `detector`."""
        data = self.recipe.load_data()
        try:
            with steps_bar("fitting a detector of outliers", N_STAGES) as progress:
                return fit_detector(self, self.kernel, data, device=self.device, seed=seed, progress=progress)
        except Unmeasurable as error:
            raise BadInput(f"no detector of outliers can be fitted: {error}; use other data or weights") from error


def _widest(kernel: Kernel) -> tuple[float, float] | None:
    """Where noisy images may reach: twice as far from the middle as the kernel's chains, and 5 at least."""
    box = box_of(kernel)
    if box is None:
        return None
    middle, reach = (box[0] + box[1]) / 2, max(box[1] - box[0], 5.0)
    return middle - reach, middle + reach


def load(path: str | Path, device: str = "cpu", data_root: Path | None = None) -> Trained:
    """Load the averaged energy of a run folder's latest checkpoint, or of one checkpoint.

    Args:
        path: a run folder, or a checkpoint in it.
        device: where the weights go.
        data_root: where the data it was trained on are now; by default, where they were.

    Raises:
        BadInput: nothing to load there; an altered, truncated or foreign checkpoint.
    """
    with torch.inference_mode(mode=False):
        checkpoint = load_checkpoint(from_home(path))
    return make_trained(checkpoint, path, device, data_root)


def make_trained(
    checkpoint: Checkpoint, path: str | Path, device: str | None = None, data_root: Path | None = None
) -> Trained:
    """Make the averaged energy of a checkpoint that was read from `path`, on `device` or the recipe's own.

    `data_root` is where the data it was trained on are now; by default, where they were.

    Raises:
        BadInput: the checkpoint carries no recipe, or weights that do not fit it; no such device.
    """
    tensors, facts, folder = checkpoint
    with torch.inference_mode(mode=False):  # of ordinary tensors, wherever it is called
        recipe = recipe_of(facts, path)
        recipe = recipe if device is None else recipe.on(device)
        recipe = recipe if data_root is None else recipe.overridden(["--data.root", str(data_root)])
        energy = _without_weights(recipe)
        weights = {k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")}
        check_weights(energy, weights, str(path))
        load_weights(energy, weights)
        return Trained(energy.eval().requires_grad_(False), recipe, facts["step"], folder)


def _without_weights(recipe: Recipe) -> nn.Module:
    """The recipe's energy, of float32 whatever the default; its weights are still to be loaded, so none are drawn."""
    fields = dict(recipe.fields["energy"])
    with torch.device("meta"):
        blank: nn.Module = REGISTRY[fields.pop("kind")](**fields)
    # As `to_empty`, which imports sympy for tensors on meta, which takes longer than all else here.
    filled: nn.Module = blank.float()._apply(  # type: ignore[no-untyped-call]
        lambda t: torch.empty(t.shape, dtype=t.dtype, device=recipe.device)
    )
    return filled


def identity_of(checkpoint: Checkpoint, path: str | Path) -> dict[str, Any]:
    """Which weights a checkpoint holds, as an evaluation of them says in its `model`."""
    basics, updates = recipe_of(checkpoint.facts, path).basics, checkpoint.facts["step"]
    return {"recipe": basics.name, "about": basics.about, "updates": updates, "checkpoint": fingerprint(checkpoint)}


def recipe_of(facts: dict[str, Any], path: str | Path) -> Recipe:
    """The recipe that a checkpoint carries among its facts. Raises `BadInput` where there is none."""
    if "recipe" not in facts:
        raise BadInput(f"{path}: this checkpoint carries no recipe; it was not made by ebmnist run or train")
    return make_recipe(facts["recipe"], origin=f"the recipe in {path}")
