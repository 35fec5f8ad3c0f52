"""Fidelity and diversity: are samples drawn from noise like the test images, and as varied?"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.data.corruptions import binarised
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, evenly_spaced
from ebmnist.evaluation.class_gaussian import fit_class_gaussian
from ebmnist.evaluation.feature_metrics import N_MIN, FeatureMetrics, digit_histogram
from ebmnist.evaluation.feature_net import TEST_ACCURACY, load_feature_net
from ebmnist.evaluation.nearest import nearest
from ebmnist.inference.jackknife import jackknife
from ebmnist.random import Rng
from ebmnist.sampling.chain import sample, samples_from
from ebmnist.sampling.samples import less_noise

BATCH_SIZE = 256  # samples drawn at a time


@dataclass(frozen=True)
class Fidelity:
    """Samples from noise against the test images, beside a real reference and baselines measured in the same way.

    Raises:
        Unmeasurable: by `measure`, if the samples are too few, not finite or all but constant.
    """

    n: int = 10_000
    """How many samples, and how many real images to compare with."""
    n_nearest: int = 2000
    """How many samples, and test images, look for their nearest training image."""

    @classmethod
    def quick(cls) -> Self:
        """Small sizes, for a first look in seconds."""
        return cls(n=512, n_nearest=300)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        pixels, labels = (t.to(context.device) for t in (context.dataset.train.pixels, context.dataset.train.labels))
        train, test = Split(pixels, labels), context.dataset.test.images.to(context.device)
        feature_metrics = FeatureMetrics(load_feature_net(context.device), test)
        kernel, n_steps = context.sampler
        shape = tuple(test.shape[1:])
        samples = sample(
            context.energy,
            self.n,
            rng=rng,
            kernel=kernel,
            n_steps=n_steps,
            shape=shape,
            batch_size=BATCH_SIZE,
            progress=context.steps(n_steps * -(-self.n // BATCH_SIZE)),
        )
        seen = feature_metrics.extract(samples)
        memorised, memorised_baselines, arrays = self._memorisation(samples, train, test)
        baselines = self._baselines(context, train, feature_metrics, rng)
        arrays |= {
            "samples": samples[:100],
            "digit_histogram": digit_histogram(seen.probabilities),
            "digit_histogram_test": feature_metrics.histogram,
        }
        return SectionResult(
            metrics=(*feature_metrics.metrics(seen, rng), *memorised),
            baselines=(*baselines, *memorised_baselines),
            arrays={name: array.cpu() for name, array in arrays.items()},
            method=self._method(context, len(test), rng),
        )

    def _baselines(
        self, context: EvaluationContext, train: Split, feature_metrics: FeatureMetrics, rng: Rng
    ) -> tuple[Metric, ...]:
        """Measure, in the samples' place, real training images and what is easily had without a deep energy."""
        real = train.at(rng.permutation(len(train.labels))[: self.n]).images
        sets = {
            "real reference, training images": real,
            "class Gaussians": fit_class_gaussian(train).sample(self.n, rng),
            "binarised training images": binarised(real),
        }
        if context.replay is not None and len(context.replay) >= N_MIN:
            sets["replay buffer"] = self._replayed(context, context.replay, rng)
        return tuple(
            metric._replace(name=f"{name}: {metric.name}")
            for name, images in sets.items()
            for metric in feature_metrics.metrics(feature_metrics.extract(images), rng)
        )

    def _replayed(self, context: EvaluationContext, replay: Tensor, rng: Rng) -> Tensor:
        """The buffer's chains as samples: in a cycle, those within it are noisy, and run on to its end."""
        step_index = (
            torch.zeros(len(replay), dtype=torch.int64)
            if context.replay_step_index is None
            else context.replay_step_index
        )
        chains, step_index = (part[: self.n].to(context.device) for part in (replay, step_index))
        return samples_from(context.energy, context.kernel, chains, step_index, rng=rng)

    def _memorisation(
        self, samples: Tensor, train: Split, test: Tensor
    ) -> tuple[tuple[Metric, ...], tuple[Metric, ...], dict[str, Tensor]]:
        """Compare the distances sample → nearest training image with those test image → nearest training image."""
        near = nearest(samples[: self.n_nearest], train.pixels)
        near_test = nearest(test[evenly_spaced(len(test), min(self.n_nearest, len(test)))], train.pixels)
        threshold = near_test.distances.double().quantile(0.01)
        close = (near.distances < threshold).double()
        name, closer = "nearest training image, median", "closer to a training image than 99 % of test images"
        metrics = (
            _median_metric(name, near.distances),
            Metric(closer, float(close.mean()), float(close.std() / len(close) ** 0.5), note="0.01 expected"),
        )
        arrays = {
            "nearest": train.at(near.indices[:100]).images,
            "nearest_distances": near.distances,
            "nearest_distances_test": near_test.distances,
        }
        return metrics, (_median_metric(f"test images: {name}", near_test.distances),), arrays

    def _method(self, context: EvaluationContext, n_test: int, rng: Rng) -> str:
        kernel, n_steps = context.sampler
        n_replay = 0 if context.replay is None else min(self.n, len(context.replay))
        return (
            f"N = {self.n} samples, each the end of a chain of {n_steps} steps from uniform noise ({kernel})"
            f"{less_noise(kernel)}, "
            f"against the {n_test} test images of {context.dataset.name}. Feature space: the penultimate features of "
            f"this project's own digit classifier (test accuracy {TEST_ACCURACY:.2%}); the metrics are not comparable "
            "with Inception FIDs. A Fréchet distance is biased upwards at any finite N: read it beside that of as "
            "many training images. Errors of the Fréchet distance, the digit-histogram KL and the medians: "
            "delete-a-group jackknife over the samples, 20 groups, the test set held fixed; of KID: standard deviation "
            "between 50 subsets of at most 1,000; of the others: one standard error of the mean. Precision, recall, "
            "density and coverage: k = 5, as many test images as samples. The digit-histogram KL is "
            "KL(samples‖test) between what the classifier reads; confident means a probability above 0.9. Nearest "
            f"training image: Euclidean over pixels in [0, 1], of {min(self.n, self.n_nearest)} samples and as many "
            "test images. Baselines: class Gaussians are ten full-covariance Gaussians fitted on the training images, "
            f"clamped; binarised is at 1/2; the replay buffer ({n_replay} images) is of "
            "training's chains, each run on to the end of its cycle if it has one, and no samples from noise. "
            f"Nothing was chosen on these metrics. Seed {rng.seed}."
        )


def _median_metric(name: str, distances: Tensor) -> Metric:
    return Metric(name, float(distances.median()), jackknife(lambda d: float(d.median()), distances))
