"""Energy landscape: how high noise, samples and unseen digits lie, and what lies between two digits."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.evaluation.base import Figure, Measured, Subject, Unmeasurable
from ebmnist.evaluation.energies import energies
from ebmnist.evaluation.jackknife import jackknife
from ebmnist.evaluation.outliers import seen_test
from ebmnist.evaluation.path import STEP_SCALE, barrier, refined, relax, straight_line
from ebmnist.evaluation.saliency import KINDS, saliency
from ebmnist.evaluation.yardstick import spread
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
        """A quarter of the work or less."""
        return cls(n=500, n_samples=64, n_pairs=50, n_relaxed=20, n_points=13, n_sweeps=20, n_corrupted=50)

    def measure(self, subject: Subject, rng: Rng) -> Measured:
        """Measure the subject."""
        test = _take(seen_test(subject.dataset), self.n, subject.device)
        if len(test.images) < N_MIN:
            raise Unmeasurable(f"{len(test.images)} test images are too few; at least {N_MIN} are needed")
        levels = self._levels(subject, test, rng)
        scale = float(levels["test"].double().std())
        if not scale > 0:
            raise Unmeasurable("all test images have the same energy")
        barriers, paths = self._barriers(subject, test, scale, rng)
        pointers, maps = self._saliency(subject, test, rng)
        spread_error = jackknife(lambda values: float(values.double().std()), levels["test"])
        figures = (
            _mean_figure("E(test), mean", levels["test"]),
            Figure("E(test), standard deviation", scale, spread_error),
            _gap("generalisation gap, test − train", levels["test"], levels["train"], scale),
            _gap("energy gap, samples − test", levels["samples"], levels["test"], scale),
            *barriers,
            *pointers,
        )
        anchors = (
            _gap("validation − train", levels["validation"], levels["train"], scale),
            _gap("noise − test", levels["noise"], levels["test"], scale),
        )
        arrays = {f"energies: {name}": values for name, values in levels.items()} | paths | maps
        return Measured(
            figures,
            anchors,
            {name: x.cpu() for name, x in arrays.items()},
            self._method(subject, len(test.images), rng),
        )

    def _levels(self, subject: Subject, test: Split, rng: Rng) -> dict[str, Tensor]:
        """Return the energies of each set of images."""
        train, validation = (
            _take(split, self.n, subject.device) for split in (subject.dataset.train, subject.dataset.validation)
        )
        shape = tuple(test.images.shape[1:])
        sets = {
            "train": train.images,
            "validation": validation.images,
            "test": test.images,
            "samples": sample(
                subject.energy,
                self.n_samples,
                rng=rng,
                kernel=subject.kernel,
                n_steps=subject.n_steps,
                shape=shape,
                batch_size=BATCH_SIZE,
                progress=subject.steps(subject.n_steps * -(-self.n_samples // BATCH_SIZE)),
            ),
            "noise": uniform_noise(self.n, shape, rng),
        }
        return {name: energies(subject.energy, images, name) for name, images in sets.items()}

    def _barriers(
        self, subject: Subject, test: Split, scale: float, rng: Rng
    ) -> tuple[list[Figure], dict[str, Tensor]]:
        """Measure straight lines within a digit and between two, and relax some of the latter."""
        figures: list[Figure] = []
        arrays: dict[str, Tensor] = {}
        for name, same in (("one digit", True), ("two digits", False)):
            a, b = _pairs(test.labels, self.n_pairs, rng, same=same)
            line = straight_line(test.images[a], test.images[b], self.n_points)
            on_line = _along(line, subject)
            figures += _barrier_figures(f"straight line, {name}", on_line, scale)
            arrays[f"on straight lines: {name}"] = on_line
        line = line[: self.n_relaxed]  # between two digits, the last of the loop
        path = relax(subject.energy, subject.kernel, line, self.n_sweeps)
        on_path = _along(refined(path.images), subject)
        figures += _barrier_figures("relaxed path, two digits", on_path, scale)
        arrays |= {
            "on relaxed paths: two digits": on_path,
            "images: straight lines": line[:N_DRAWN],
            "images: relaxed paths": path.images[:N_DRAWN],
        }
        return figures, arrays

    def _saliency(self, subject: Subject, test: Split, rng: Rng) -> tuple[list[Figure], dict[str, Tensor]]:
        """Measure how far −∇E of a corrupted digit leads back to the clean one."""
        figures: list[Figure] = []
        arrays: dict[str, Tensor] = {}
        clean = test.images[spread(len(test.images), min(self.n_corrupted, len(test.images)))]
        for kind in KINDS:
            found = saliency(subject.energy, clean, kind, rng)
            name = kind.replace("_", "-")
            figures.append(_mean_figure(f"−∇E towards the clean digit, {name}", found.agreement, unit="cosine"))
            arrays |= {f"images: {name}": found.images[:N_DRAWN], f"−∇E: {name}": found.descent[:N_DRAWN]}
        return figures, arrays

    def _method(self, subject: Subject, n_test: int, rng: Rng) -> str:
        return (
            f"{self.n} images each of train and validation and {n_test} of test of {subject.dataset.name}, evenly "
            f"spread, less digits that training was without; {self.n} images of uniform noise; {self.n_samples} "
            f"samples, each the end of a chain of {subject.n_steps} steps from noise ({subject.kernel})"
            f"{less_noise(subject.kernel)}. Differences "
            "and barriers are in standard deviations of E over the test images; their errors take that unit as "
            "given. A barrier is how far E climbs above the higher end of a path between two test images, the mean "
            f"over paths; straight lines, {self.n_points} points each, join {self.n_pairs} pairs of one digit and as "
            f"many of two. {self.n_relaxed} lines of two digits are relaxed by the simplified string method, "
            f"{self.n_sweeps} steps at T = 0 of {STEP_SCALE:g} times the kernel's step size, and each is taken where "
            "its barrier was lowest, then looked at in steps a quarter as long: an upper bound of the least barrier. "
            "Towards the clean digit: cosine between −∇E at a corrupted digit and clean − corrupted, over "
            f"{min(self.n_corrupted, n_test)} test images, noise at σ = 0.1; a random direction has 0 ± 0.04. Errors: "
            "one standard error; of the standard deviation, delete-a-group jackknife, 20 groups. Nothing was chosen "
            "on these figures. "
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
    chosen = fit[spread(len(fit), min(n, len(fit))).to(fit.device)]
    return a[chosen], b[chosen]


def _along(paths: Tensor, subject: Subject) -> Tensor:
    """Return the energy of each image of each path, (B, P, *shape) -> (B, P)."""
    return energies(subject.energy, paths.flatten(0, 1), "the paths between digits").view(paths.shape[:2])


def _barrier_figures(name: str, on_path: Tensor, scale: float) -> list[Figure]:
    heights = barrier(on_path).double() / scale
    return [
        _mean_figure(f"barrier, {name}", heights, unit="σ"),
        _mean_figure(f"share without a barrier, {name}", heights == 0),
    ]


def _gap(name: str, above: Tensor, below: Tensor, scale: float) -> Figure:
    a, b = above.double(), below.double()
    error = (a.var() / len(a) + b.var() / len(b)).sqrt()
    return Figure(name, float(a.mean() - b.mean()) / scale, float(error) / scale, unit="σ")


def _mean_figure(name: str, values: Tensor, unit: str = "") -> Figure:
    x = values.double()
    return Figure(name, float(x.mean()), float(x.std() / len(x) ** 0.5), unit)


def _take(split: Split, n: int, device: torch.device) -> Split:
    chosen = spread(len(split.images), min(n, len(split.images)))
    return Split(split.images[chosen].to(device), split.labels[chosen].to(device))
