"""Energy landscape: how high noise, samples and unseen digits lie, and what lies between two digits."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, evenly_spaced, mean_metric
from ebmnist.evaluation.outliers import seen_test
from ebmnist.inference.jackknife import jackknife
from ebmnist.inference.path import STEP_SCALE, barrier, refined, relax, straight_line
from ebmnist.inference.saliency import KINDS, saliency
from ebmnist.inference.scoring import energies
from ebmnist.random import Rng
from ebmnist.sampling.chain import sample
from ebmnist.sampling.samples import less_noise
from ebmnist.sampling.start.noise import uniform_noise

N_MIN = 20  # pairs, test images: below, a standard error is no longer one
BATCH_SIZE = 256  # samples drawn at a time
N_DRAWN = 6  # paths and corrupted digits that are kept for the pictures


@dataclass(frozen=True)
class Landscape:
    """Energies of train, validation, test, samples and noise; barriers between digits; where −∇E points.

    Differences are in standard deviations of E over test images, since an energy's scale is its own.

    Raises:
        Unmeasurable: by `measure`, if energies are not finite or all alike, or the test split is too small.
    """

    n: int = 2000
    """Images of each split, and of noise."""
    n_samples: int = 256
    """Samples from noise. Cost: n_samples × the recipe's chain length image-steps, by default 65,536."""
    n_pairs: int = 200
    """Straight lines between two images of one digit, and as many of two digits."""
    n_relaxed: int = 40
    """Lines of two digits that are relaxed. Cost: n_relaxed × n_points × n_sweeps image-steps, by default 27,200."""
    n_points: int = 17
    """Images on a path, its ends included."""
    n_sweeps: int = 40
    """Steps of the relaxation."""
    n_corrupted: int = 200
    """Digits corrupted in each way for the saliency."""

    @classmethod
    def quick(cls) -> Self:
        """A fifth of the work or less."""
        return cls(n=250, n_samples=32, n_pairs=32, n_relaxed=10, n_points=13, n_sweeps=20, n_corrupted=50)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        test = _take(seen_test(context.dataset), self.n, context.device)
        if len(test.images) < N_MIN:
            raise Unmeasurable(f"{len(test.images)} test images are too few; at least {N_MIN} are needed")
        levels = self._levels(context, test, rng)
        scale = float(levels["test"].double().std())
        if not scale > 0:
            raise Unmeasurable("all test images have the same energy")
        barriers, paths = self._barriers(context, test, scale, rng)
        pointers, maps = self._saliency(context, test, rng)
        spread_error = jackknife(lambda values: float(values.double().std()), levels["test"])
        metrics = (
            mean_metric("E(test), mean", levels["test"]),
            Metric("E(test), standard deviation", scale, spread_error),
            _gap("generalisation gap, test − train", levels["test"], levels["train"], scale),
            _gap("energy gap, samples − test", levels["samples"], levels["test"], scale),
            *barriers,
            *pointers,
        )
        baselines = (
            _gap("validation − train", levels["validation"], levels["train"], scale),
            _gap("noise − test", levels["noise"], levels["test"], scale),
        )
        arrays = {f"energies: {name}": values for name, values in levels.items()} | paths | maps
        return SectionResult(
            metrics,
            baselines,
            {name: x.cpu() for name, x in arrays.items()},
            self._method(context, len(test.images), rng),
        )

    def _levels(self, context: EvaluationContext, test: Split, rng: Rng) -> dict[str, Tensor]:
        """Return the energies of each set of images."""
        train, validation = (
            _take(split, self.n, context.device) for split in (context.dataset.train, context.dataset.validation)
        )
        shape, (kernel, n_steps) = tuple(test.images.shape[1:]), context.sampler
        sets = {
            "train": train.images,
            "validation": validation.images,
            "test": test.images,
            "samples": sample(
                context.energy,
                self.n_samples,
                rng=rng,
                kernel=kernel,
                n_steps=n_steps,
                shape=shape,
                batch_size=BATCH_SIZE,
                progress=context.steps(n_steps * -(-self.n_samples // BATCH_SIZE)),
            ),
            "noise": uniform_noise(self.n, shape, rng),
        }
        return {name: energies(context.energy, images, name) for name, images in sets.items()}

    def _barriers(
        self, context: EvaluationContext, test: Split, scale: float, rng: Rng
    ) -> tuple[list[Metric], dict[str, Tensor]]:
        """Measure straight lines within a digit and between two, and relax some of the latter."""
        metrics: list[Metric] = []
        arrays: dict[str, Tensor] = {}
        for name, same in (("one digit", True), ("two digits", False)):
            a, b = _pairs(test.labels, self.n_pairs, rng, same=same)
            line = straight_line(test.images[a], test.images[b], self.n_points)
            on_line = _along(line, context)
            metrics += _barrier_metrics(f"straight line, {name}", on_line, scale)
            arrays[f"on straight lines: {name}"] = on_line
        line = line[: self.n_relaxed]  # between two digits, the last of the loop
        path = relax(context.energy, context.kernel, line, self.n_sweeps)
        on_path = _along(refined(path.images), context)
        metrics += _barrier_metrics("relaxed path, two digits", on_path, scale)
        arrays |= {
            "on relaxed paths: two digits": on_path,
            "images: straight lines": line[:N_DRAWN],
            "images: relaxed paths": path.images[:N_DRAWN],
        }
        return metrics, arrays

    def _saliency(self, context: EvaluationContext, test: Split, rng: Rng) -> tuple[list[Metric], dict[str, Tensor]]:
        """Measure how far −∇E of a corrupted digit leads back to the clean one."""
        metrics: list[Metric] = []
        arrays: dict[str, Tensor] = {}
        clean = test.images[evenly_spaced(len(test.images), min(self.n_corrupted, len(test.images)))]
        for kind in KINDS:
            found = saliency(context.energy, clean, kind, rng)
            name = kind.replace("_", "-")
            metrics.append(mean_metric(f"−∇E towards the clean digit, {name}", found.agreement, unit="cosine"))
            arrays |= {f"images: {name}": found.images[:N_DRAWN], f"−∇E: {name}": found.descent[:N_DRAWN]}
        return metrics, arrays

    def _method(self, context: EvaluationContext, n_test: int, rng: Rng) -> str:
        kernel, n_steps = context.sampler
        return (
            f"{self.n} images each of train and validation and {n_test} of test of {context.dataset.name}, evenly "
            f"spread, less digits that training was without; {self.n} images of uniform noise; {self.n_samples} "
            f"samples, each the end of a chain of {n_steps} steps from noise ({kernel})"
            f"{less_noise(kernel)}. Differences "
            "and barriers are in standard deviations of E over the test images; their errors take that unit as "
            "given. A barrier is how far E climbs above the higher end of a path between two test images, the mean "
            f"over paths; straight lines, {self.n_points} points each, join {self.n_pairs} pairs of one digit and as "
            f"many of two. {self.n_relaxed} lines of two digits are relaxed by the simplified string method, "
            f"{self.n_sweeps} steps at T = 0 of {STEP_SCALE:g} times the kernel's step size, and each is taken where "
            "its barrier was lowest, then looked at in steps a quarter as long: an upper bound of the least barrier. "
            "Towards the clean digit: cosine between −∇E at a corrupted digit and clean − corrupted, over "
            f"{min(self.n_corrupted, n_test)} test images, noise at σ = 0.1; a random direction has 0 ± 0.04. Errors: "
            "one standard error; of the standard deviation, delete-a-group jackknife, 20 groups. Nothing was chosen "
            "on these metrics. "
            f"Seed {rng.seed}."
        )


def _pairs(labels: Tensor, n: int, rng: Rng, *, same: bool) -> tuple[Tensor, Tensor]:
    """Return the indices of up to n pairs of images with the same label, or with two; no image is in two pairs.

    Raises:
        Unmeasurable: there are fewer than 20.
    """
    order = rng.permutation(len(labels)).to(labels.device)
    if same:
        order = order[labels[order].argsort(stable=True)]
    a, b = order[0 : len(order) // 2 * 2 : 2], order[1::2]
    fit = ((labels[a] == labels[b]) == same).nonzero()[:, 0]
    if len(fit) < N_MIN or n < N_MIN:
        raise Unmeasurable(f"{min(len(fit), n)} pairs of test images are too few; at least {N_MIN} are needed")
    chosen = fit[evenly_spaced(len(fit), min(n, len(fit))).to(fit.device)]
    return a[chosen], b[chosen]


def _along(paths: Tensor, context: EvaluationContext) -> Tensor:
    """Return the energy of each image of each path, (B, P, *shape) -> (B, P)."""
    return energies(context.energy, paths.flatten(0, 1), "the paths between digits").view(paths.shape[:2])


def _barrier_metrics(name: str, on_path: Tensor, scale: float) -> list[Metric]:
    heights = barrier(on_path).double() / scale
    return [
        mean_metric(f"barrier, {name}", heights, unit="σ"),
        mean_metric(f"share without a barrier, {name}", heights == 0),
    ]


def _gap(name: str, above: Tensor, below: Tensor, scale: float) -> Metric:
    a, b = above.double(), below.double()
    error = (a.var() / len(a) + b.var() / len(b)).sqrt()
    return Metric(name, float(a.mean() - b.mean()) / scale, float(error) / scale, unit="σ")


def _take(split: Split, n: int, device: torch.device) -> Split:
    chosen = split.at(evenly_spaced(len(split.labels), min(n, len(split.labels))))
    return Split(chosen.images.to(device), chosen.labels.to(device))
