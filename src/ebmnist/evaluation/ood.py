"""Out of distribution: does the energy, or its gradient, rank what is no digit above the test digits?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ebmnist.data.base import Dataset
from ebmnist.energies.base import Energy
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult, evenly_spaced
from ebmnist.evaluation.detectors import (
    PrincipalComponents,
    fit_components,
    kth_nearest,
    mahalanobis,
    reconstruction_error,
)
from ebmnist.evaluation.outliers import held_out, other_sets, seen_test, synthetic_sets
from ebmnist.evaluation.ranking import N_MIN, rank
from ebmnist.inference.detector import Detector, fit_detector
from ebmnist.inference.noise_averaging import N_PAIRS
from ebmnist.random import Rng

METRICS = {"auroc": "AUROC", "aupr": "AUPR", "fpr_at_95": "FPR@95"}
OF_FEATURES = ("features", "relative Mahalanobis", "max softmax")
OF_THE_ENERGY = ("E", "|E − median|", "‖∇E‖", "noise-averaged E", *OF_FEATURES, "combined")
N_EXAMPLES = 10  # images of each set that are kept for the pictures


class Trial(NamedTuple):
    """Digits (N, 1, 28, 28) and, by name, kinds of outliers (M, 1, 28, 28); no image is behind both."""

    inside: Tensor
    outside: dict[str, Tensor]


class Scorer(NamedTuple):
    """All there is to score an image with; every score is high for an outlier."""

    energy: Energy
    detector: Detector
    components: PrincipalComponents
    references: Tensor  # training images, for the nearest neighbours

    def scores(self, images: Tensor, name: str) -> dict[str, Tensor]:
        """Return each score's values, (N, 1, 28, 28) -> (N,). Raises: Unmeasurable."""
        found = self.detector.scores(self.energy, images, name)
        coordinates = self.components.coordinates(images)
        optional = {
            "noise-averaged E": found.noise_averaged,
            "features": found.features,
            "relative Mahalanobis": found.relative_mahalanobis,
            "max softmax": found.max_softmax,
        }
        return {
            "E": found.energy,
            "|E − median|": (found.energy - self.detector.reference["energy"].median()).abs(),
            "‖∇E‖": found.gradient_norm,
            **{score: values for score, values in optional.items() if values is not None},
            "combined": self.detector.combined(found),
            "Mahalanobis": mahalanobis(coordinates, self.components.eigenvalues),
            "PCA": reconstruction_error(coordinates),
            "5-NN": kth_nearest(images, self.references),
        }


@dataclass(frozen=True)
class OutOfDistribution:
    """Scores of the energy against three baselines over pixels, on outliers from far to near.

    Raises:
        Unmeasurable: by `measure`, if energies are not finite or the test split is too small.
    """

    n: int = 1000
    """Test images, and outliers of each of 14 to 16 kinds; E and ∇E are taken once of each."""
    n_reference: int = 10_000
    """Training images among which the nearest-neighbour baseline searches."""
    n_fit: int = 20_000
    """Training images that a detector is fitted to, with a quarter as many validation images, if the model has none."""
    given: Mapping[str, Tensor] = field(default_factory=dict)
    """More outliers by name, (M, 1, 28, 28), M ≥ 20, of which n are taken."""

    @classmethod
    def quick(cls) -> Self:
        """An eighth of the test images and outliers."""
        return cls(n=125, n_reference=2500, n_fit=2000)

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        scorer = self._scorer(context, rng)
        trial, missing = self._trial(context, rng)
        aside = _held_out_trial(context.dataset, 10 * len(trial.inside), context.device)
        trials = (trial, aside) if aside.outside else (trial,)
        metrics: list[Metric] = []
        baselines = [chance for each in trials for chance in _chances(each)]
        arrays: dict[str, Tensor] = {}
        for inside, outside in trials:
            of_digits = scorer.scores(inside, "test")
            arrays.setdefault("energies: test", of_digits["E"])
            for name, images in outside.items():
                of_outliers = scorer.scores(images, name)
                for score, values in of_outliers.items():
                    beside = metrics if score in OF_THE_ENERGY else baselines
                    beside += _metrics(f"{score}: {name}", of_digits[score], values)
                arrays |= {f"energies: {name}": of_outliers["E"], f"images: {name}": images[:N_EXAMPLES]}
        return SectionResult(
            tuple(metrics),
            tuple(baselines),
            {name: array.cpu() for name, array in arrays.items()},
            self._method(context, scorer.detector, len(trial.inside), missing, rng),
        )

    def _scorer(self, context: EvaluationContext, rng: Rng) -> Scorer:
        train = context.dataset.train.images
        detector = context.detector
        if detector is None:
            detector = fit_detector(
                context.energy,
                context.kernel,
                context.dataset,
                device=context.device,
                seed=rng.seed,
                n_fit=self.n_fit,
                n_reference=self.n_fit // 4,
            )
        return Scorer(
            context.energy,
            detector,
            fit_components(train.to(context.device)),
            train[evenly_spaced(len(train), min(self.n_reference, len(train)))].to(context.device),
        )

    def _trial(self, context: EvaluationContext, rng: Rng) -> tuple[Trial, list[str]]:
        """Return the trial, and what could not be had. Every other test image is inside, the others are corrupted."""
        test = seen_test(context.dataset).images
        n = min(self.n, len(test) // 2)
        if n < N_MIN:
            raise Unmeasurable(f"{len(test)} test images are too few; at least {2 * N_MIN} are needed")
        halves = test[evenly_spaced(len(test), 2 * n)].to(context.device)
        inside, source = halves[0::2], halves[1::2]
        others, missing = other_sets(context.dataset, n, self.given)
        outside = {name: x.to(context.device) for name, x in others.items()} | synthetic_sets(source, rng)
        return Trial(inside, outside), missing

    def _method(self, context: EvaluationContext, detector: Detector, n: int, missing: list[str], rng: Rng) -> str:
        n_train = len(context.dataset.train.images)
        n_reference = min(self.n_reference, n_train)
        without = held_out(context.dataset)
        return (
            f"{n} test images of {context.dataset.name}, evenly spread, are in-distribution; outliers are {n} images "
            "of each kind, the corrupted ones made from as many other test images. Scores, high for an outlier: E, "
            "its distance from the median over validation images, and ‖∇E‖, all of the unclipped energy"
            f"{_about(detector)}. Outliers are the positive class: AUROC is the chance that an outlier scores above a "
            "digit, AUPR the average precision (0.5 by chance where both are equally many), FPR@95 the share of digits "
            "flagged at the threshold that catches 95 % of the outliers; ties count exactly. Errors: DeLong for the "
            "AUROC (0 where the two sets do not overlap), the delete-a-group jackknife on both sides for the others. "
            f"Baselines over pixels, fitted on the {n_train} training images: Mahalanobis distance (full covariance "
            "plus the variance of rounding to 256 levels), error of reconstruction from 50 principal components, "
            f"distance to the 5th nearest of {n_reference} training images, evenly spread. "
            + "".join(f"Given: {name}, {min(n, len(x))} of {len(x)} test images. " for name, x in self.given.items())
            + (f"Not measured, as nothing is downloaded here: {', '.join(missing)}. " if missing else "")
            + (
                f"Training was without {_join(without)}, which counts as an outlier only in the held-out rows, where "
                "all other test images, of a test set in its natural proportions, are in-distribution. "
                if without
                else ""
            )
            + f"No sign, threshold or size was chosen on these metrics. Seed {rng.seed}."
        )


def _about(detector: Detector) -> str:
    """The detector's scores in words."""
    averaged = features = ""
    if detector.sigma is not None:
        averaged = f"; noise-averaged E is the mean of E over {N_PAIRS} pairs of noise ±ξ, σ = {detector.sigma:.2f}"
    if (density := detector.density) is not None:
        features = (
            f"; features is −log p of the last hidden layer, one Gaussian over {density.projection.shape[1]} principal "
            "components for each label of the training images; relative Mahalanobis is log p₀ − log p, p₀ one Gaussian "
            "for all labels; max softmax is −log(−log(1 − P)), P the largest probability of a label under p"
        )
    weights = ", ".join(f"{name.replace('_', ' ')} {s.weight:g}" for name, s in detector.standard.items())
    return (
        f"{averaged}{features}; combined is the sum of −log Φ(−z), z each score less its mean over its standard "
        f"deviation among held-out training images, with weights {weights}"
    )


def _held_out_trial(dataset: Dataset, n: int, device: torch.device) -> Trial:
    """Return the labels that training was without, if any, against the others, among n test images evenly spread."""
    digits = held_out(dataset)
    n_test = len(dataset.test.labels)
    chosen = dataset.test.at(evenly_spaced(n_test, min(n, n_test)))
    images, anomalous = chosen.images, torch.isin(chosen.labels, torch.tensor(digits))
    if digits and int(anomalous.sum()) < N_MIN:
        raise Unmeasurable(f"{int(anomalous.sum())} held-out test images are too few; at least {N_MIN} are needed")
    outside = {f"held-out {_join(digits)}": images[anomalous].to(device)} if digits else {}
    return Trial(images[~anomalous].to(device), outside)


def _chances(trial: Trial) -> Iterator[Metric]:
    """The AUPR that chance has of outliers that are more, or fewer, than the digits: their share."""
    n = len(trial.inside)
    for name, images in trial.outside.items():
        if len(images) != n:
            yield Metric(f"chance: {name} AUPR", len(images) / (len(images) + n), note="share of outliers")


def _metrics(name: str, inside: Tensor, outside: Tensor) -> Iterator[Metric]:
    for metric, estimate in rank(inside, outside)._asdict().items():
        yield Metric(f"{name} {METRICS[metric]}", *estimate)


def _join(labels: list[int]) -> str:
    return "+".join(map(str, labels))
