"""Fidelity against chain length, FID(K): where samples are best, and how far chains drift after that."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.feature_metrics import N_MIN, FeatureMetrics, digit_histogram, histogram_kl
from ebmnist.evaluation.feature_net import FEATURE_DIM, FeatureOutput, load_feature_net
from ebmnist.evaluation.frechet import leave_one_out_distances
from ebmnist.inference.jackknife import group_error
from ebmnist.random import Rng
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.samples import cycle_of, less_noise, samples_of
from ebmnist.sampling.start.noise import uniform_noise

FIRST = 64  # the shortest chain that is looked at
STARTS = ("noise", "data")


class Measurement(NamedTuple):
    """What the chains of one start are like after `n_steps`."""

    n_steps: int
    seen: FeatureOutput
    images: Tensor  # (10, 1, 28, 28): the same ten chains at every look
    distance: tuple[float, float]  # Fréchet distance to test images, and its error
    on_validation: float  # Fréchet distance to validation images, on which the best length is chosen


class ReferenceSets(NamedTuple):
    """The validation images, which choose, and the test images, which report."""

    validation: FeatureMetrics
    test: FeatureMetrics


@dataclass(frozen=True)
class ChainLength:
    """Fréchet distance and digit histogram along one set of chains, from noise and from data.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if there are too few validation images, or no chains fit to be measured at the
            first point.
    """

    n: int = N_MIN
    """Chains from each start, ≥ 256, with 256 validation images to be left over. Cost: n × long image-steps for each
    start, by default 524,000 in all."""
    long: int = 1024
    """Steps of the chains, ≥ 64, looked at after 64 and every doubling; 100,000 cost 98 times the default."""
    starts: tuple[str, ...] = STARTS
    """Where chains start: noise, data or both."""

    def __post_init__(self) -> None:
        if self.long < FIRST:
            raise BadInput(f"chain_length: long must be ≥ {FIRST}, not {self.long}")
        if self.n < N_MIN:
            raise BadInput(f"chain_length: chains must be ≥ {N_MIN} for {FEATURE_DIM} features, not {self.n}")
        if not self.starts or not set(self.starts) <= set(STARTS) or len(set(self.starts)) < len(self.starts):
            raise BadInput(f"chain_length: starts must be some of {', '.join(STARTS)}, not {list(self.starts)}")

    @classmethod
    def quick(cls) -> Self:
        """From data alone, as `fidelity` has chains from noise, up to 128 steps: 33,000 image-steps."""
        return cls(long=128, starts=("data",))

    def lengths(self, cycle: int = 1) -> tuple[int, ...]:
        """The steps after which the chains are looked at: 64, 128, 256, … and `long`, or whole cycles near them."""
        first, last = -(-FIRST // cycle) * cycle, self.long // cycle * cycle
        doublings = (first << i for i in range(self.long.bit_length()))
        return (*(k for k in doublings if k < last), last)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        if self.long < (cycle := cycle_of(context.kernel)):
            raise Unmeasurable(f"{self.long} steps are less than one cycle of {cycle} steps")
        at, references = self._starts_and_references(context, rng)
        real_reference = self._real_reference(context, references.test, rng)
        points: dict[str, list[Measurement]] = {f"from {start}": [] for start in self.starts}
        lost: dict[str, Metric] = {}
        for n_steps, x in self._chains(context, at, rng):
            for start, images in zip(points, x.chunk(len(points)), strict=True):
                if start in lost:
                    continue
                try:
                    points[start].append(_measured(n_steps, images, references))
                except Unmeasurable as error:
                    if not points[start]:
                        raise Unmeasurable(f"{start}, after {n_steps} steps: {error}") from error
                    # What was seen until now stands; that the chains die here is a finding, not a missing metric.
                    lost[start] = Metric(f"{start}: chains lost at", n_steps, unit="steps", note=str(error))
            if len(lost) == len(points):
                break
        metrics = [f for start, seen in points.items() for f in _metrics(start, seen, references.test)]
        arrays = {"digit_histogram_test": references.test.histogram}
        for start, seen in points.items():
            arrays |= _arrays(start.replace(" ", "_"), seen, references.test)
        return SectionResult(
            metrics=(*metrics, *lost.values()),
            baselines=real_reference,
            arrays={name: array.cpu() for name, array in arrays.items()},
            method=self._method(context, references, rng),
        )

    def _starts_and_references(self, context: EvaluationContext, rng: Rng) -> tuple[Tensor, ReferenceSets]:
        """Return where the chains start, n of each of `starts`, (·, 1, 28, 28), and the images to compare with."""
        validation, test = (split.images.to(context.device) for split in context.dataset[2:4])
        if len(validation) < self.n + N_MIN:
            raise Unmeasurable(
                f"{len(validation)} validation images are too few; {self.n} start chains, {N_MIN} others choose"
            )
        order = rng.permutation(len(validation))
        starts = {"noise": uniform_noise(self.n, tuple(test.shape[1:]), rng), "data": validation[order[: self.n]]}
        net = load_feature_net(context.device)
        references = ReferenceSets(FeatureMetrics(net, validation[order[self.n :]]), FeatureMetrics(net, test))
        return torch.cat([starts[start] for start in self.starts]), references

    def _chains(self, context: EvaluationContext, x: Tensor, rng: Rng) -> Iterator[tuple[int, Tensor]]:
        """Run the chains once, stopping at every length to look at them."""
        done, noise = 0, rng.stream()
        for n_steps in self.lengths(cycle_of(context.kernel)):
            told = context.steps(self.long, before=done)
            length = n_steps - done
            x = run_chain(context.energy, context.kernel, x, length, rng=noise, first_step=done, progress=told).x
            done = n_steps
            yield n_steps, samples_of(context.energy, context.kernel, x)

    def _real_reference(self, context: EvaluationContext, test: FeatureMetrics, rng: Rng) -> tuple[Metric, ...]:
        """Measure as many training images in the chains' place."""
        train = context.dataset.train.images
        order = rng.permutation(len(train))[: self.n].to(train.device)
        seen = test.extract(train[order].to(context.device))
        name = "real reference, training images"
        return (
            Metric(f"{name}: Fréchet distance", test.frechet_distance(seen), test.frechet_error(seen)),
            Metric(f"{name}: digit-histogram KL", *test.histogram_kl(seen), unit="nats"),
        )

    def _method(self, context: EvaluationContext, references: ReferenceSets, rng: Rng) -> str:
        lengths = self.lengths(cycle_of(context.kernel))
        named = {"noise": "uniform noise", "data": f"validation images of {context.dataset.name}"}
        return (
            f"{' and '.join(f'{self.n} chains from {named[start]}' for start in self.starts)}, each "
            f"run once ({context.kernel}) and looked at after {', '.join(f'{k:,}' for k in lengths)} steps"
            f"{less_noise(context.kernel)}. "
            f"Distances are Fréchet distances in this project's own feature space to {len(references.test.images)} "
            f"test images; at N = {self.n} they are biased well upwards, so read them beside those of as many training "
            "images, and not beside distances at another N. The best K is the one closest to "
            f"{len(references.validation.images)} validation images that start no chain; all distances reported are to "
            "the test images, so one at another K may be a little smaller. Drift: the distance at the last K over "
            "that at the best. The digit-histogram KL is KL(samples‖test) between what the classifier reads. Errors: "
            "delete-a-group jackknife over the chains, 20 groups, the test set and the choice of K held fixed; with "
            "few more chains than features it errs on the large side (at N = 256, 2.5 for a true 1.5 of real images). "
            f"Chains that turn constant or not finite are lost: their curve ends before. Seed {rng.seed}."
        )


def _measured(n_steps: int, images: Tensor, references: ReferenceSets) -> Measurement:
    seen = references.test.extract(images)
    distance = references.test.frechet_distance(seen), references.test.frechet_error(seen)
    return Measurement(n_steps, seen, images[:10], distance, references.validation.frechet_distance(seen))


def _metrics(start: str, points: list[Measurement], test: FeatureMetrics) -> tuple[Metric, ...]:
    last = points[-1]
    return (
        *(_chosen(start, points, test) if len(points) > 1 else ()),
        *(Metric(f"{start}: distance at K = {point.n_steps}", *point.distance) for point in points),
        Metric(f"{start}: digit-histogram KL at K = {last.n_steps}", *test.histogram_kl(last.seen), unit="nats"),
    )


def _chosen(start: str, points: list[Measurement], test: FeatureMetrics) -> tuple[Metric, ...]:
    """Say which length is best, and how far chains drift after it."""
    best, last = min(points, key=lambda point: point.on_validation), points[-1]
    # The same chains at both, so the error is that of the ratio, chains left out of both at once.
    late, early = (leave_one_out_distances(point.seen.features, test.moments) for point in (last, best))
    drift, error = last.distance[0] / best.distance[0], group_error(late / early)
    return (
        Metric(f"{start}: best K", best.n_steps, unit="steps", note="chosen on validation images"),
        Metric(f"{start}: best distance", *best.distance),
        Metric(f"{start}: drift", drift, error, note=f"K = {last.n_steps} over {best.n_steps}"),
    )


def _arrays(start: str, points: list[Measurement], test: FeatureMetrics) -> dict[str, Tensor]:
    """Return the curves of one start, L points long."""
    histograms = torch.stack([digit_histogram(point.seen.probabilities) for point in points])
    return {
        f"{start}_n_steps": torch.tensor([point.n_steps for point in points]),  # (L,)
        f"{start}_distance": torch.tensor([point.distance[0] for point in points]),
        f"{start}_digit_kl": torch.tensor([histogram_kl(h, test.histogram) for h in histograms]),
        f"{start}_digit_histogram": histograms,  # (L, 10)
        f"{start}_images": torch.stack([point.images for point in points]),  # (L, 10, 1, 28, 28)
    }
