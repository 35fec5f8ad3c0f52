"""The front door: an energy-based model to load, train, sample and use, with the methods of scikit-learn."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ebmnist.config import Recipe, load_recipe
from ebmnist.data.images import check_images
from ebmnist.errors import BadInput
from ebmnist.exporting import save
from ebmnist.inference.operators import LinearOperator
from ebmnist.inference.posterior import restore
from ebmnist.inference.scoring import p_values
from ebmnist.random import Rng
from ebmnist.restoring import denoised, denoised_once, inpainted
from ebmnist.sampling import sample
from ebmnist.terminal import steps_bar
from ebmnist.trained import Trained, load
from ebmnist.training import TrainState, fit


class EBM:
    """An energy-based model p(x) ∝ exp(−E(x)/T) of images x, (B, 1, 28, 28) in [0, 1].

    Random numbers are functions of `seed`, 0 by default, or of a `generator` of one's own.

    Args:
        energy: E, an `nn.Module` from (B, 1, 28, 28) to (B,), low where images are likely. It is copied, never touched.
            By default it is the recipe's own.
        recipe: how to train and sample it: a recipe's name or file.
        overrides: fields of the recipe, such as `["--training.lr", "1e-3"]`.

    Raises:
        BadInput: no such recipe or field, a value out of its range, or an energy without parameters.

    >>> EBM.from_pretrained("mnist-best").sample(4, seed=0).shape
    torch.Size([4, 1, 28, 28])
    """

    def __init__(
        self, energy: nn.Module | None = None, recipe: str | Recipe = "mnist", overrides: Sequence[str] = ()
    ) -> None:
        found = load_recipe(recipe) if isinstance(recipe, str) else recipe
        self.recipe = found.overridden(overrides) if overrides else found
        own = self.recipe.make_energy() if energy is None else copy.deepcopy(energy)
        if not any(True for _ in own.parameters()):
            raise BadInput("EBM: this energy has no parameters, so there is nothing to train")
        self.trained = Trained(own.eval().requires_grad_(False), self.recipe, step=0)
        self.kernel = self.trained.kernel

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str = "cpu") -> Self:
        """Load a trained model: `mnist-best` (it comes with the package), a run folder, a checkpoint or an export.

        Raises:
            BadInput: nothing to load there, or a file that was altered.
        """
        model = cls.__new__(cls)
        model.trained = load(name, device)
        model.recipe, model.kernel = model.trained.recipe, model.trained.kernel
        return model

    def fit(
        self, images: Tensor | np.ndarray, *, n_updates: int | None = None, seed: int = 0, progress: bool = True
    ) -> Self:
        """Train on `images`, (N, 1, 28, 28) in [0, 1]; afterwards the averaged (EMA) weights are used.

        A progress bar is shown on a terminal. Ctrl-C ends training early and keeps the weights so far.

        Args:
            images: float32.
            n_updates: length of training; by default the recipe's.
            seed: of every random number but the initial weights.
            progress: show the bar.

        Raises:
            BadInput: images of another type, shape or scale, NaN among them, or fewer than a batch.
            Diverged: no action of the stability guard helped; the model is then as it was.
        """
        x = check_images(torch.as_tensor(images), "images")
        training = self.recipe.make_training()
        state = TrainState(
            copy.deepcopy(self.trained.energy).requires_grad_(True),
            training if n_updates is None else replace(training, n_updates=n_updates),
            kernel=self.kernel,
            start=self.recipe.make_start(),
            objective=self.recipe.make_objective(),
            seed=seed,
        )
        try:
            with steps_bar("training", state.training.n_updates, shown=progress) as done:
                for record, _ in fit(state, x):
                    done(record.step)
        except KeyboardInterrupt:
            pass  # the weights so far are what was asked for
        self.trained = Trained(state.ema, self.recipe, state.step)
        return self

    def energy(self, x: Tensor) -> Tensor:
        """Return E(x), (B, 1, 28, 28) -> (B,), low where likely; only differences between images mean anything.

        Raises:
            BadInput: images of another type, shape or scale.
        """
        with torch.no_grad():
            values: Tensor = self.trained(x)
        return values

    def score_samples(self, x: Tensor) -> Tensor:
        """Return −E(x), (B, 1, 28, 28) -> (B,): T times the log-density, up to a constant. High is likely."""
        return -self.energy(x)

    def scores(self, x: Tensor) -> dict[str, Tensor]:
        """Return "energy", "noise-averaged" and "combined" of images (B, 1, 28, 28), each (B,) and high for an outlier.

        "noise-averaged" is left out for a model without noise levels (`inference.detector.Detector`). The detector is
        the one stored with the model; where there is none, it is fitted to the recipe's data at the first call.

        Raises:
            BadInput: images of another type, shape or scale; data that cannot be read.
        """
        detector = self.trained.detector()
        images = self.trained.checked(x.to(self.trained.device))
        return detector.by_name(detector.scores(self.trained, images, "x"))

    def p_values(self, x: Tensor, reference: Tensor | None = None, *, score: str = "combined") -> Tensor:
        """Return how often a normal image scores as high as each of x, (B, 1, 28, 28) -> (B,), in (0, 1].

        Small is unusual (`inference.scoring.p_values`). `reference` is normal images that training has not seen,
        (M, 1, 28, 28); by default validation images. `score` is one that `scores` returns.

        Raises:
            BadInput: images of another type, shape or scale; data that cannot be read; no such score.
        """
        found = self.scores(x)
        if score not in found:
            raise BadInput(f"p_values: score {score!r} is unknown: use {', '.join(found)}")
        normal = self.trained.detector().reference if reference is None else self.scores(reference)
        return p_values(found[score], normal[score])

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        n_steps: int | None = None,
        sampler: str | None = None,
    ) -> Tensor:
        """Return n samples, (n, 1, 28, 28) in [0, 1], each the end of a chain from uniform noise.

        Args:
            n: how many.
            seed, generator: of the noise; one of them.
            n_steps: of each chain; by default the recipe's, or 64 with a sampler.
            sampler: by default the kernel it was trained with; "ancestral" needs fewer steps of a well trained energy.

        Raises:
            BadInput: `n_steps` that end within an annealing cycle, or are too few; an energy that the sampler cannot
                serve; a seed and a generator.
        """
        kernel, steps = self.trained.sampler(sampler, n_steps)
        return sample(self.trained, n, rng=self._rng(seed, generator), kernel=kernel, n_steps=steps)

    def denoise(
        self, y: Tensor, sigma: float | None = None, *, fast: bool = False, reference: Tensor | None = None
    ) -> Tensor:
        """Return the images `y`, (B, 1, 28, 28), without their Gaussian noise of standard deviation `sigma`.

        An annealed energy is applied several times as a denoiser (`inference.iterated`), any other is descended; clean
        images say with which weights, or how far. Several possible images: `restore(y, Identity(), sigma)`.

        Args:
            sigma: of all of them; by default an annealed energy estimates it.
            fast: one gradient of an annealed energy, y − ∇E(y)/κ (Tweedie's formula); nothing is read or estimated.
            reference: clean images that training has not seen, (M, 1, 28, 28); by default the recipe's validation ones.

        Raises:
            BadInput: other images; `sigma` not > 0 and finite; neither `sigma` nor an annealed energy.
        """
        if sigma is not None and not 0 < sigma < float("inf"):
            raise BadInput(f"denoise: sigma must be > 0 and finite, not {sigma}")
        y, model = self.trained.checked(y), self.trained
        return denoised_once(model, y, sigma) if fast else denoised(model, y, sigma, self._rng(None, None), reference)

    def restore(
        self,
        y: Tensor,
        operator: LinearOperator,
        sigma: float = 0.0,
        *,
        n_samples: int = 8,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return images drawn given measurements y = A x + noise of each, (n_samples, B, 1, 28, 28).

        Their mean estimates the image; their standard deviation says where it is unsure (`inference.posterior`).
        A is such as `AveragePool(2)` or `GaussianBlur(1.5)` of `inference.operators`; `sigma` ≥ 0 is of the noise on y.

        Raises:
            BadInput: an energy of one temperature; measurements of another size; a number out of its range.
        """
        self.trained.checked(operator.adjoint(y))
        rng = self._rng(seed, generator)
        return restore(self.trained, self.kernel, y, operator, sigma, rng=rng, n_samples=n_samples)

    def inpaint(
        self,
        y: Tensor,
        mask: Tensor,
        *,
        n_steps: int | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return `y`, (B, 1, 28, 28) in [0, 1], with the pixels where `mask` is False drawn given the others.

        `mask` is bool and broadcastable to `y`; hidden pixels are not read. By default chains have 25 steps for an
        annealed energy, else those of a sample.

        Raises:
            BadInput: other images, a mask that is not bool, or too few steps.
        """
        return inpainted(self.trained, y, mask, rng=self._rng(seed, generator), n_steps=n_steps)[0]

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights and recipe to a new folder, which `from_pretrained` reads.

        Raises:
            BadInput: the folder exists; the recipe's section `energy` builds another energy.
        """
        return save(self.trained, Path(folder))

    def __repr__(self) -> str:
        return f"EBM({self.recipe.basics.name}, {self.trained.step:,} updates, {type(self.kernel).__name__})"

    def _rng(self, seed: int | None, generator: torch.Generator | None) -> Rng:
        if seed is not None and generator is not None:
            raise BadInput("give a seed or a generator, not both")
        if generator is not None:
            return Rng.of(generator)
        return Rng(0 if seed is None else seed, device=self.trained.device)
