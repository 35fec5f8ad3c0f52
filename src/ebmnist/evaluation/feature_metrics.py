"""Metrics in feature space: any set of images against the test images, as a feature net sees them."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import Metric, evenly_spaced, mean_metric
from ebmnist.evaluation.feature_net import FEATURE_DIM, FeatureNet, FeatureOutput, extract, extract_cached
from ebmnist.evaluation.frechet import Moments, frechet_distance, frechet_error, moments
from ebmnist.evaluation.kernel_distance import kernel_distance
from ebmnist.evaluation.manifold import Manifold, manifold, neighbourhood
from ebmnist.inference.jackknife import jackknife
from ebmnist.random import Rng

N_MIN = 2 * FEATURE_DIM  # below, a covariance of the features is mostly noise


@dataclass(frozen=True)
class FeatureMetrics:
    """Test images (M, 1, 28, 28) seen by a feature net; everything is on the net's device."""

    net: FeatureNet
    images: Tensor
    k: int = 5
    """Neighbours in precision, recall, density and coverage."""
    confident: float = 0.9
    """Class probability above which an image counts as a clear digit."""
    _manifolds: dict[int, Manifold] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def seen(self) -> FeatureOutput:
        """Features and class probabilities of the test images."""
        return extract_cached(self.images, self.net)

    @cached_property
    def _scatter(self) -> float:
        return float(_variance(self.images))

    @cached_property
    def moments(self) -> Moments:
        """Moments of the test images' features."""
        return moments(self.seen.features)

    @cached_property
    def histogram(self) -> Tensor:
        """Share of each digit among the test images, as the net reads them, (10,)."""
        return digit_histogram(self.seen.probabilities)

    def extract(self, images: Tensor) -> FeatureOutput:
        """Look at images (N, 1, 28, 28), and refuse what no distance can be taken of.

        Raises:
            Unmeasurable: too few images, images with NaN or infinite pixels, or images that are all alike.
        """
        if len(images) < N_MIN:
            raise Unmeasurable(f"{len(images)} samples are too few for {FEATURE_DIM} features; take {N_MIN} or more")
        seen = extract(self.net, images)
        if float(_variance(images)) < 1e-4 * self._scatter:
            raise Unmeasurable(f"the {len(images)} samples are all but constant, so their covariance is singular")
        return seen

    def frechet_distance(self, seen: FeatureOutput) -> float:
        """Return the Fréchet distance to the test images."""
        return frechet_distance(moments(seen.features), self.moments)

    def frechet_error(self, seen: FeatureOutput) -> float:
        """Return the error of that distance, the test images held fixed."""
        return frechet_error(seen.features, self.moments)

    def histogram_kl(self, seen: FeatureOutput) -> tuple[float, float | None]:
        """Return KL(images‖test) in nats between the digits that the net reads, and its error.

        Infinite where the images show a digit that the test images do not have; then it has no error.
        """

        def kl(probabilities: Tensor) -> float:
            return histogram_kl(digit_histogram(probabilities), self.histogram)

        value = kl(seen.probabilities)
        return value, jackknife(kl, seen.probabilities) if math.isfinite(value) else None

    def metrics(self, seen: FeatureOutput, rng: Rng) -> tuple[Metric, ...]:
        """Return every metric in feature space, each with its error."""
        kid = kernel_distance(seen.features, self.seen.features, rng)
        confident = (seen.probabilities.amax(1) > self.confident).double()
        return (
            Metric("Fréchet distance", self.frechet_distance(seen), self.frechet_error(seen)),
            Metric("KID", kid.mean, kid.std, note="error: standard deviation between subsets"),
            *self._neighbours(seen),
            Metric("digit-histogram KL", *self.histogram_kl(seen), unit="nats"),
            mean_metric("confident share", confident),
        )

    def _neighbours(self, seen: FeatureOutput) -> tuple[Metric, ...]:
        """Compare equal numbers of both: recall and coverage depend on how many there are."""
        n = min(len(seen.features), len(self.images))
        found = neighbourhood(self._manifold(n), manifold(seen.features[:n], self.k))
        return tuple(mean_metric(name, value.double()) for name, value in found._asdict().items())

    def _manifold(self, n: int) -> Manifold:
        """Return the balls of n test images, kept for the next set of as many."""
        if n not in self._manifolds:
            self._manifolds[n] = manifold(self.seen.features[evenly_spaced(len(self.images), n)], self.k)
        return self._manifolds[n]


def digit_histogram(probabilities: Tensor) -> Tensor:
    """Return the share of each likeliest digit, (N, 10) -> (10,)."""
    return torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]).double() / len(probabilities)


def histogram_kl(p: Tensor, q: Tensor) -> float:
    """Return KL(p‖q) = Σ p log(p/q) in nats; 0 where p is 0, infinite where only q is."""
    return float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum())


def _variance(images: Tensor) -> Tensor:
    """Return the mean over pixels of the variance between images."""
    return images.flatten(1).var(0).mean()
