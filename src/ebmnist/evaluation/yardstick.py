"""The yardstick: the test images as the feature net sees them, and what any set of images measures against them."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ebmnist.evaluation.base import Figure, Unmeasurable
from ebmnist.evaluation.feature_net import FEATURE_DIM, FeatureNet, Seen, see, see_once
from ebmnist.evaluation.frechet import Moments, frechet_distance, frechet_error, moments
from ebmnist.evaluation.jackknife import jackknife
from ebmnist.evaluation.kernel_distance import kernel_distance
from ebmnist.evaluation.manifold import Manifold, manifold, neighbourhood
from ebmnist.random import Rng

N_MIN = 2 * FEATURE_DIM  # below, a covariance of the features is mostly noise


@dataclass(frozen=True)
class Yardstick:
    """Test images (M, 1, 28, 28) seen by a feature net; everything is on the net's device."""

    net: FeatureNet
    images: Tensor
    k: int = 5
    """Neighbours in precision, recall, density and coverage."""
    confident: float = 0.9
    """Class probability above which an image counts as a clear digit."""
    _manifolds: dict[int, Manifold] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def seen(self) -> Seen:
        """Features and class probabilities of the test images."""
        return see_once(self.images, self.net)

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

    def see(self, images: Tensor) -> Seen:
        """Look at images (N, 1, 28, 28), and refuse what no distance can be taken of.

        Raises:
            Unmeasurable: too few images, images with NaN or infinite pixels, or images that are all alike.
        """
        if len(images) < N_MIN:
            raise Unmeasurable(f"{len(images)} samples are too few for {FEATURE_DIM} features; take {N_MIN} or more")
        seen = see(self.net, images)
        if float(_variance(images)) < 1e-4 * self._scatter:
            raise Unmeasurable(f"the {len(images)} samples are all but constant, so their covariance is singular")
        return seen

    def frechet_distance(self, seen: Seen) -> float:
        """Return the Fréchet distance to the test images."""
        return frechet_distance(moments(seen.features), self.moments)

    def frechet_error(self, seen: Seen) -> float:
        """Return the error of that distance, the test images held fixed."""
        return frechet_error(seen.features, self.moments)

    def histogram_kl(self, seen: Seen) -> tuple[float, float | None]:
        """Return KL(images‖test) in nats between the digits that the net reads, and its error.

        Infinite where the images show a digit that the test images do not have; then it has no error.
        """

        def kl(probabilities: Tensor) -> float:
            return histogram_kl(digit_histogram(probabilities), self.histogram)

        value = kl(seen.probabilities)
        return value, jackknife(kl, seen.probabilities) if math.isfinite(value) else None

    def figures(self, seen: Seen, rng: Rng) -> tuple[Figure, ...]:
        """Return every figure in feature space, each with its error."""
        kid = kernel_distance(seen.features, self.seen.features, rng)
        confident = (seen.probabilities.amax(1) > self.confident).double()
        return (
            Figure("Fréchet distance", self.frechet_distance(seen), self.frechet_error(seen)),
            Figure("KID", kid.mean, kid.std, note="error: standard deviation between subsets"),
            *self._neighbours(seen),
            Figure("digit-histogram KL", *self.histogram_kl(seen), unit="nats"),
            _mean_figure("confident share", confident),
        )

    def _neighbours(self, seen: Seen) -> tuple[Figure, ...]:
        """Compare equal numbers of both: recall and coverage depend on how many there are."""
        n = min(len(seen.features), len(self.images))
        found = neighbourhood(self._manifold(n), manifold(seen.features[:n], self.k))
        return tuple(_mean_figure(name, value.double()) for name, value in found._asdict().items())

    def _manifold(self, n: int) -> Manifold:
        """Return the balls of n test images, kept for the next set of as many."""
        if n not in self._manifolds:
            self._manifolds[n] = manifold(self.seen.features[spread(len(self.images), n)], self.k)
        return self._manifolds[n]


def spread(n_all: int, n: int) -> Tensor:
    """Return n of the indices 0 … n_all − 1, evenly spread: the halves of MNIST's test file are not alike."""
    return torch.arange(n) * n_all // n


def digit_histogram(probabilities: Tensor) -> Tensor:
    """Return the share of each likeliest digit, (N, 10) -> (10,)."""
    return torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]).double() / len(probabilities)


def histogram_kl(p: Tensor, q: Tensor) -> float:
    """Return KL(p‖q) = Σ p log(p/q) in nats; 0 where p is 0, infinite where only q is."""
    return float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum())


def _mean_figure(name: str, values: Tensor) -> Figure:
    return Figure(name, float(values.mean()), float(values.std() / len(values) ** 0.5))


def _variance(images: Tensor) -> Tensor:
    """Return the mean over pixels of the variance between images."""
    return images.flatten(1).var(0).mean()
