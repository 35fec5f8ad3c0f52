"""Fidelity and diversity: are samples drawn from noise like the test images, and as varied?"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.data.corruptions import binarised
from ebmnist.evaluation.base import Figure, Measured, Subject
from ebmnist.evaluation.class_gaussian import fit_class_gaussian
from ebmnist.evaluation.feature_net import TEST_ACCURACY, load_feature_net
from ebmnist.evaluation.jackknife import jackknife
from ebmnist.evaluation.nearest import nearest
from ebmnist.evaluation.yardstick import N_MIN, Yardstick, digit_histogram, spread
from ebmnist.random import Rng
from ebmnist.sampling.chain import sample, samples_from
from ebmnist.sampling.samples import less_noise

BATCH_SIZE = 256  # samples drawn at a time


@dataclass(frozen=True)
class Fidelity:
    """Samples from noise against the test images, beside a floor and anchors measured in the same way.

    Raises:
        Unmeasurable: by `measure`, if the samples are too few, not finite or all but constant.
    """

    n: int = 10_000
    """How many samples, and how many real images for the floor."""
    n_steps: int | None = None
    """Chain length from noise; null for the recipe's own."""
    n_nearest: int = 2000
    """How many samples, and test images, look for their nearest training image."""

    @classmethod
    def quick(cls) -> Self:
        """Small sizes, for a first look in seconds."""
        return cls(n=1000, n_nearest=500)

    def measure(self, subject: Subject, rng: Rng) -> Measured:
        """Measure the subject."""
        train, test = (_to(split, subject.device) for split in (subject.dataset.train, subject.dataset.test))
        yardstick = Yardstick(load_feature_net(subject.device), test.images)
        n_steps = subject.n_steps if self.n_steps is None else self.n_steps
        shape = tuple(test.images.shape[1:])
        samples = sample(
            subject.energy,
            self.n,
            rng=rng,
            kernel=subject.kernel,
            n_steps=n_steps,
            shape=shape,
            batch_size=BATCH_SIZE,
            progress=subject.steps(n_steps * -(-self.n // BATCH_SIZE)),
        )
        seen = yardstick.see(samples)
        memorised, memorised_anchors, arrays = self._memorisation(samples, train.images, test.images)
        anchors = self._anchors(subject, train, yardstick, rng)
        arrays |= {
            "samples": samples[:100],
            "digit_histogram": digit_histogram(seen.probabilities),
            "digit_histogram_test": yardstick.histogram,
        }
        return Measured(
            figures=(*yardstick.figures(seen, rng), *memorised),
            anchors=(*anchors, *memorised_anchors),
            arrays={name: array.cpu() for name, array in arrays.items()},
            method=self._method(subject, n_steps, len(test.images), rng),
        )

    def _anchors(self, subject: Subject, train: Split, yardstick: Yardstick, rng: Rng) -> tuple[Figure, ...]:
        """Measure, in the samples' place, real training images and what is easily had without a deep energy."""
        real = train.images[rng.permutation(len(train.images))[: self.n]]
        sets = {
            "floor, training images": real,
            "class Gaussians": fit_class_gaussian(train).sample(self.n, rng),
            "binarised training images": binarised(real),
        }
        if subject.replay is not None and len(subject.replay) >= N_MIN:
            sets["replay buffer"] = self._replayed(subject, subject.replay, rng)
        return tuple(
            figure._replace(name=f"{name}: {figure.name}")
            for name, images in sets.items()
            for figure in yardstick.figures(yardstick.see(images), rng)
        )

    def _replayed(self, subject: Subject, replay: Tensor, rng: Rng) -> Tensor:
        """The buffer's chains as samples: in a cycle, those within it are noisy, and walk on to its end."""
        clock = torch.zeros(len(replay), dtype=torch.int64) if subject.replay_clock is None else subject.replay_clock
        chains, clock = (part[: self.n].to(subject.device) for part in (replay, clock))
        return samples_from(subject.energy, subject.kernel, chains, clock, rng=rng)

    def _memorisation(
        self, samples: Tensor, train: Tensor, test: Tensor
    ) -> tuple[tuple[Figure, ...], tuple[Figure, ...], dict[str, Tensor]]:
        """Compare the distances sample → nearest training image with those test image → nearest training image."""
        near = nearest(samples[: self.n_nearest], train)
        near_test = nearest(test[spread(len(test), min(self.n_nearest, len(test)))], train)
        threshold = near_test.distances.double().quantile(0.01)
        close = (near.distances < threshold).double()
        name, closer = "nearest training image, median", "closer to a training image than 99 % of test images"
        figures = (
            _median_figure(name, near.distances),
            Figure(closer, float(close.mean()), float(close.std() / len(close) ** 0.5), note="0.01 expected"),
        )
        arrays = {
            "nearest": train[near.indices[:100]],
            "nearest_distances": near.distances,
            "nearest_distances_test": near_test.distances,
        }
        return figures, (_median_figure(f"test images: {name}", near_test.distances),), arrays

    def _method(self, subject: Subject, n_steps: int, n_test: int, rng: Rng) -> str:
        n_replay = 0 if subject.replay is None else min(self.n, len(subject.replay))
        return (
            f"N = {self.n} samples, each the end of a chain of {n_steps} steps from uniform noise ({subject.kernel})"
            f"{less_noise(subject.kernel)}, "
            f"against the {n_test} test images of {subject.dataset.name}. Feature space: the penultimate features of "
            f"this project's own digit classifier (test accuracy {TEST_ACCURACY:.2%}); the figures are not comparable "
            "with Inception FIDs. A Fréchet distance is biased upwards at any finite N: read it beside the floor, as "
            "many training images. Errors of the Fréchet distance, the digit-histogram KL and the medians: "
            "delete-a-group jackknife over the samples, 20 groups, the test set held fixed; of KID: standard deviation "
            "between 50 subsets of at most 1,000; of the others: one standard error of the mean. Precision, recall, "
            "density and coverage: k = 5, as many test images as samples. The digit-histogram KL is "
            "KL(samples‖test) between what the classifier reads; confident means a probability above 0.9. Nearest "
            f"training image: Euclidean over pixels in [0, 1], of {min(self.n, self.n_nearest)} samples and as many "
            "test images. Anchors: class Gaussians are ten full-covariance Gaussians fitted on the training images and "
            f"clamped; binarised is at 1/2; the replay buffer ({n_replay} images) is of "
            "training's chains, each walked on to the end of its cycle if it has one, and no samples from noise. "
            f"Nothing was chosen on these figures. Seed {rng.seed}."
        )


def _median_figure(name: str, distances: Tensor) -> Figure:
    return Figure(name, float(distances.median()), jackknife(lambda d: float(d.median()), distances))


def _to(split: Split, device: torch.device) -> Split:
    return Split(split.images.to(device), split.labels.to(device))
