"""The front door: an energy-based model to load, train, sample and use, with the methods of scikit-learn."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from ebmnist.config import Recipe, load_recipe
from ebmnist.energies.base import energy_and_grad
from ebmnist.energies.border import check_form, check_scale
from ebmnist.energies.freezing import frozen
from ebmnist.errors import BadInput
from ebmnist.inference.descent import denoise, within
from ebmnist.inference.inpainting import inpaint
from ebmnist.random import Rng
from ebmnist.reporting import new_folder, save_checkpoint
from ebmnist.sampling import NoiseSchedule, sample
from ebmnist.sampling.samples import boxed
from ebmnist.trained import Trained, load
from ebmnist.training import TrainState, fit
from ebmnist.training.state import load_weights


class EBM:
    """An energy-based model p(x) ∝ exp(−E(x)/T) of images x in [0, 1].

    Images are tensors (B, C, H, W). Random numbers are functions of `seed`, or of a `generator` of one's own.

    Args:
        module: E, an `nn.Module` from (B, C, H, W) to (B,), low where images are likely.
        recipe: how to train and sample it: a recipe's name or file. Its section `energy` is not used.
        overrides: fields of the recipe, such as `["--training.n_updates", "500"]`.

    Raises:
        BadInput: no such recipe or field, or a value out of its range.

    >>> EBM.from_pretrained("mnist-best").sample(4, seed=0).shape
    torch.Size([4, 1, 28, 28])
    """

    def __init__(self, module: nn.Module, recipe: str | Recipe = "mnist", overrides: Sequence[str] = ()) -> None:
        found = load_recipe(recipe) if isinstance(recipe, str) else recipe
        self.recipe = found.overridden(overrides) if overrides else found
        self.kernel = self.recipe.make_kernel()
        self.n_steps = self.recipe.generation.n_steps
        self.module = module
        self.n_updates = 0  # of training, so far
        self.shape: tuple[int, ...] = (1, 28, 28)

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str = "cpu") -> Self:
        """Load a trained model: `mnist-best` (it comes with the package), a run folder, a checkpoint or an export.

        Raises:
            BadInput: nothing to load there, or a file that was altered.
        """
        trained = load(name, device)
        model = cls(trained, trained.recipe)
        model.n_updates = trained.step
        return model

    def fit(self, images: Tensor, *, seed: int = 0, progress: bool = True) -> Self:
        """Train on `images`, (N, C, H, W) in [0, 1], by the recipe; afterwards the averaged (EMA) weights are used.

        A progress bar is shown on a terminal. Ctrl-C ends training early and keeps the weights so far.

        Raises:
            BadInput: images of another type, shape or scale, or fewer than a batch.
            Diverged: no action of the stability guard helped.
        """
        module = self.module.energy if isinstance(self.module, Trained) else self.module
        check_form(images[:1], list(module.parameters()))
        check_scale(images, box=(0.0, 1.0))
        state = TrainState(
            module.requires_grad_(True),
            self.recipe.make_training(),
            kernel=self.kernel,
            start=self.recipe.make_start(),
            objective=self.recipe.make_objective(),
            seed=seed,
        )
        try:
            with _bar(state.training.n_updates, shown=progress) as advance:
                for _ in fit(state, images):
                    advance()
        except KeyboardInterrupt:
            if not state.step:
                raise
        self.module, self.n_updates, self.shape = state.ema, state.step, tuple(images.shape[1:])
        return self

    def energy(self, x: Tensor) -> Tensor:
        """Return E(x), (B, *shape) -> (B,), low where likely; only differences between images mean anything."""
        with torch.no_grad():
            values: Tensor = frozen(self.module)(x)
        return values

    def score_samples(self, x: Tensor) -> Tensor:
        """Return −E(x), (B, *shape) -> (B,): the log-density times T, up to a constant. High is likely."""
        return -self.energy(x)

    def sample(
        self, n: int, *, seed: int | None = None, generator: torch.Generator | None = None, n_steps: int | None = None
    ) -> Tensor:
        """Return n samples, (n, *shape) in [0, 1], each the end of a Langevin chain from uniform noise.

        Raises:
            BadInput: `n_steps` that end within an annealing cycle; a seed and a generator.
        """
        rng, steps = self._rng(seed, generator), self.n_steps if n_steps is None else n_steps
        return sample(self.module, n, rng=rng, kernel=self.kernel, n_steps=steps, shape=self.shape)

    def denoise(
        self, y: Tensor, sigma: float, *, n_steps: int = 16, seed: int | None = None, generator: Any = None
    ) -> Tensor:
        """Return the images `y`, (B, *shape), without their Gaussian noise of standard deviation `sigma`.

        An annealed energy is κ/2 times the squared distance to the data at every noise level, so the mean of the
        clean image is y − ∇E(y)/κ (Tweedie's formula: Robbins 1956, Efron 2011). Any other energy is descended for
        `n_steps` steps at T = 0. No data set is read.

        Raises:
            BadInput: `sigma` is not > 0; a seed and a generator.
        """
        if not 0 < sigma < float("inf"):
            raise BadInput(f"denoise: sigma must be > 0 and finite, not {sigma}")
        rng = self._rng(seed, generator)
        if isinstance(self.kernel, NoiseSchedule) and self.kernel.curvature > 0:
            x = within(self.kernel, y)
            return boxed(self.kernel, x - energy_and_grad(frozen(self.module), x)[1] / self.kernel.curvature)
        return denoise(self.module, self.kernel, y, n_steps, rng=rng)

    def inpaint(
        self,
        y: Tensor,
        mask: Tensor,
        *,
        n_steps: int | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return `y`, (B, *shape), with the pixels where `mask` is False drawn by a chain given the others.

        Args:
            y: images in [0, 1]; hidden pixels are not read.
            mask: bool, broadcastable to `y`: True where a pixel is known.
            n_steps: length of the chain; by default that of a sample.
            seed: of the chain; 0 if neither it nor a generator is given.
            generator: in place of a seed.

        Raises:
            BadInput: a mask that is not bool, or steps that end within an annealing cycle.
        """
        steps = self.n_steps if n_steps is None else n_steps
        return inpaint(self.module, self.kernel, y, mask, steps, rng=self._rng(seed, generator))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights and recipe to a new folder, which `from_pretrained` reads.

        Raises:
            BadInput: the folder exists; the recipe's section `energy` does not build this module.
        """
        module = self.module.energy if isinstance(self.module, Trained) else self.module
        try:
            built = self.recipe.make_energy()
            load_weights(built, module.state_dict())
        except BadInput as error:
            raise BadInput(f"save_pretrained: the recipe does not build this energy ({error})") from error
        x = torch.linspace(0, 1, math.prod(self.shape)).view(1, *self.shape)
        if not torch.allclose(frozen(built)(x), EBM(module, self.recipe).energy(x)):
            raise BadInput("save_pretrained: the recipe does not build this energy: other fields give other energies")
        tensors = {f"ema.{name}": value for name, value in module.state_dict().items()}
        facts = {"step": self.n_updates, "seed": self.recipe.basics.seed, "recipe": self.recipe.fields}
        return save_checkpoint(new_folder(Path(folder)), tensors=tensors, facts=facts)

    def __repr__(self) -> str:
        return f"EBM({self.recipe.basics.name}, {self.n_updates:,} updates, {self.kernel.__class__.__name__})"

    def _rng(self, seed: int | None, generator: torch.Generator | None) -> Rng:
        if seed is not None and generator is not None:
            raise BadInput("give a seed or a generator, not both")
        device = next(self.module.parameters()).device
        return Rng.of(generator) if generator is not None else Rng(0 if seed is None else seed, device=device)


@contextmanager
def _bar(n_updates: int, *, shown: bool) -> Iterator[Any]:
    """What to call after each update; it moves a bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task("training", total=n_updates)
        yield lambda: bar.advance(task)
