"""A detector of outliers: an energy with and without added noise, its slope, and its hidden features, in one score."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.energies.base import Energy, features_of
from ebmnist.energies.freezing import frozen
from ebmnist.errors import Unmeasurable
from ebmnist.inference.feature_density import FeatureDensity, fit_feature_density
from ebmnist.inference.noise_averaging import averaging_sigma, noise_averaged_energy
from ebmnist.inference.scoring import BATCH_SIZE, energies_and_grads, p_values
from ebmnist.random import Purpose, Rng, Stream
from ebmnist.sampling.base import Kernel

N_FIT = 20_000  # training images; one in `HELD_OUT` of them chooses the ridge and standardises the scores
HELD_OUT = 10
N_REFERENCE = 5_000  # validation images
N_STAGES = 3  # of a fit
NOISE_AVERAGED = "noise-averaged"
MAX_SOFTMAX = "max-softmax"
RELATIVE = "relative-mahalanobis"
SCORES = ("energy", NOISE_AVERAGED, "features", RELATIVE, MAX_SOFTMAX, "combined")  # by which an image can be judged
WEIGHTS = {
    "energy": 1.0,
    "gradient_norm": 1.0,
    "noise_averaged": 1.0,
    "features": 1.0,
    "relative_mahalanobis": 1.0,
    "max_softmax": 2.0,
}  # in the combined score


class Scores(NamedTuple):
    """Scores of images, each (N,) and high for an outlier; None for what the energy or the kernel does not have."""

    energy: Tensor  # E(x)
    gradient_norm: Tensor  # ‖∇E(x)‖
    noise_averaged: Tensor | None  # E over added noise, for a kernel with noise levels
    features: Tensor | None  # of an energy that has hidden features, with the next two: `FeatureScores`
    relative_mahalanobis: Tensor | None
    max_softmax: Tensor | None

    def present(self) -> dict[str, Tensor]:
        """Return those that there are, by name, float64."""
        return {name: score.double() for name, score in self._asdict().items() if score is not None}


class Judged(NamedTuple):
    """What is said of images by one score, each (N,)."""

    percentile: Tensor  # share of the reference below, in %
    p_value: Tensor  # how often an image like the reference scores as high, in (0, 1] (`scoring.p_values`)


class Standard(NamedTuple):
    """How a score enters the combined one."""

    mean: float
    scale: float  # 1/sd; 0 for a score that is the same for all images
    weight: float


class Detector(NamedTuple):
    """Fitted to training and validation images alone: no outlier is seen.

    The combined score is −Σ_s w_s log Φ(−z_s), z_s = (score_s − mean_s)/sd_s: Fisher's (1932) sum of log p-values, each
    score taken as Gaussian, with weights (Good 1955). Means and standard deviations are those of held-out training
    images, among which most scores go together. The maximum softmax probability goes with none: it counts twice.
    """

    sigma: float | None  # of the noise that E is averaged over; None for a kernel without noise levels
    seed: int  # of that noise
    density: FeatureDensity | None  # None for an energy without hidden features
    standard: dict[str, Standard]  # by the names of `Scores`
    reference: dict[str, Tensor]  # by name of `SCORES`: of M validation images, rising, (M,) float32

    def scores(self, energy: Energy, images: Tensor, name: str) -> Scores:
        """Return the scores of images, (N, 1, 28, 28); `name` is what messages call them.

        Raises:
            Unmeasurable: an energy or a gradient is NaN or infinite.
        """
        energy = frozen(energy)
        value, grad = energies_and_grads(energy, images, name)
        averaged = None
        if self.sigma is not None:
            rng = Rng(self.seed, Purpose.DETECTOR)
            averaged = noise_averaged_energy(energy, images, self.sigma, rng=rng, name=name).cpu()
        of_features = (None,) * 3 if self.density is None else self.density.scores(_features(energy, images))
        return Scores(value.cpu(), grad.flatten(1).norm(dim=1).cpu(), averaged, *of_features)

    def combined(self, scores: Scores) -> Tensor:
        """Return the combined score, (N,) float32."""
        total = torch.zeros(len(scores.energy), dtype=torch.float64)
        for name, score in scores.present().items():
            mean, scale, weight = self.standard[name]
            total -= weight * torch.special.log_ndtr((mean - score) * scale)
        return total.float()

    def by_name(self, scores: Scores) -> dict[str, Tensor]:
        """Return the scores by which an image can be judged, those of `SCORES` that there are, each (N,) float32."""
        named = {
            "energy": scores.energy,
            NOISE_AVERAGED: scores.noise_averaged,
            "features": scores.features,
            RELATIVE: scores.relative_mahalanobis,
            MAX_SOFTMAX: scores.max_softmax,
            "combined": self.combined(scores),
        }
        return {name: values.float() for name, values in named.items() if values is not None}

    def judged(self, score: str, values: Tensor) -> Judged:
        """Return where values, (N,), of a score stand among those of the validation images."""
        reference = self.reference[score]
        below = torch.searchsorted(reference, values.contiguous())
        return Judged(100 * below.double() / len(reference), p_values(values, reference))


def fit_detector(
    energy: Energy,
    kernel: Kernel,
    dataset: Dataset,
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    n_fit: int = N_FIT,
    n_reference: int = N_REFERENCE,
    progress: Callable[[int], None] = lambda _: None,
) -> Detector:
    """Fit to at most `n_fit` training images, and compare with `n_reference` validation images.

    `progress` is told how many of the `N_STAGES` are done.

    Raises:
        Unmeasurable: an energy or a gradient is NaN or infinite; the hidden features are constant; too few images.
    """
    energy, stream = frozen(energy), Stream(seed, Purpose.DETECTOR, 1)  # 0 is of the noise
    chosen = _some(dataset.train, n_fit, stream)
    if len(chosen.labels) <= HELD_OUT:
        raise Unmeasurable(f"{len(chosen.labels)} training images are too few; at least {HELD_OUT + 1} are needed")
    aside = torch.arange(len(chosen.labels)) % HELD_OUT == 0
    fitted, held_out = chosen.images[~aside].to(device), chosen.images[aside].to(device)
    density = None
    if features_of(energy, held_out[:1]) is not None:
        features = _features(energy, fitted), chosen.labels[~aside], _features(energy, held_out)
        density = fit_feature_density(*features)
    progress(1)
    unscaled = Detector(averaging_sigma(kernel), seed, density, {}, {})
    present = unscaled.scores(energy, held_out, "training").present()
    detector = unscaled._replace(standard={name: _standard(score, WEIGHTS[name]) for name, score in present.items()})
    progress(2)
    validation = _some(dataset.validation, n_reference, stream).images.to(device)
    named = detector.by_name(detector.scores(energy, validation, "validation"))
    progress(N_STAGES)
    return detector._replace(reference={name: values.sort().values for name, values in named.items()})


def _standard(score: Tensor, weight: float) -> Standard:
    sd = float(score.std())
    return Standard(float(score.mean()), 1 / sd if sd > 0 else 0.0, weight)


@torch.no_grad()
def _features(energy: Energy, images: Tensor) -> Tensor:
    """The hidden features of images, (N, 1, 28, 28) -> (N, n), on the CPU."""
    parts = [features_of(energy, x) for x in torch.split(images, BATCH_SIZE)]
    return torch.cat([part.cpu() for part in parts if part is not None])


def _some(split: Split, n: int, stream: Stream) -> Split:
    """At most n of a split's images, at random: their order may go with their labels."""
    return split.at(stream.permutation(len(split.labels), 0)[:n])
