"""A density of a network's hidden features: one full-covariance Gaussian for each label (Lee et al. 2018)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ebmnist.errors import Unmeasurable
from ebmnist.inference.gaussian_mixture import GaussianMixture, fit_gaussian_mixture

N_COMPONENTS = 96
NEGLIGIBLE = 1e-8  # a direction with this share of the largest variance, or less, is rounding


class FeatureScores(NamedTuple):
    """Scores of features h, (N,) float64 each, high for what is odd; the last two are None where there is one label."""

    features: Tensor  # −log p(h) in nats, up to a constant
    # log p₀(h) − log p(h) with p₀ one Gaussian for all labels: what is odd for all of them alike cancels. The relative
    # Mahalanobis distance of Ren et al. (2021), with a covariance for each label.
    relative_mahalanobis: Tensor | None
    # −log(−log(1 − P)), P = maxᶜ p(c | h): the maximum softmax probability (Hendrycks & Gimpel 2017), on a scale on
    # which it does not run into 1.
    max_softmax: Tensor | None


class FeatureDensity(NamedTuple):
    """p(h) = Σ_c w_c N(z; μ_c, C_c) of features h, (n,), by their leading D principal components z, all float64.

    z = (h − mean) · projection has unit variance over all labels. Lee et al. (2018) share one covariance among the
    labels; here each has its own.
    """

    mean: Tensor  # (n,)
    projection: Tensor  # (n, D)
    mixture: GaussianMixture  # over D numbers

    def scores(self, features: Tensor) -> "FeatureScores":
        """Return how odd features are, (N, n) -> (N,) each."""
        z = (features.to(self.mean) - self.mean) @ self.projection
        log_joint = self.mixture.log_joint(z)  # (N, C)
        log_p = log_joint.logsumexp(1)
        if log_joint.shape[1] == 1:
            return FeatureScores(-log_p, None, None)
        log_p0 = -0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))
        first, likeliest = log_joint.max(1)
        others = log_joint.scatter(1, likeliest[:, None], -torch.inf).logsumexp(1)
        return FeatureScores(-log_p, log_p0 - log_p, -softplus(first - others).log())

    def rounded(self) -> "FeatureDensity":
        """Return the density that a file holds: vectors rounded to float16, variances and shares to float32."""
        mixture = self.mixture
        return FeatureDensity(
            self.mean.half().double(),
            self.projection.half().double(),
            GaussianMixture(
                mixture.weights.float().double(),
                mixture.means.half().double(),
                mixture.variances.float().double(),  # the ridge among them
                mixture.bases.half().double(),
            ),
        )


def fit_feature_density(
    features: Tensor, labels: Tensor, held_out: Tensor, n_components: int = N_COMPONENTS
) -> FeatureDensity:
    """Fit by maximum likelihood to features, (N, n), with labels (N,); the ridge by that of `held_out`, (M, n).

    Where a label has too few images for a covariance, D or fewer, all images share one Gaussian.

    Raises:
        Unmeasurable: the features are the same for every image, or no ridge gives a finite density.
    """
    h = features.double()
    mean = h.mean(0)
    variances, basis = torch.linalg.eigh(torch.cov(h.T))
    kept = (variances > NEGLIGIBLE * variances[-1]).nonzero().flatten()[-n_components:]
    if not len(kept) or not variances[-1] > 0:
        raise Unmeasurable("the hidden features of the training images are all the same")
    projection = basis[:, kept] / variances[kept].sqrt()
    counts = labels.bincount()
    enough = int(counts[counts > 0].min()) > len(kept)
    mixture = fit_gaussian_mixture((h - mean) @ projection, labels if enough else None)
    return FeatureDensity(mean, projection, mixture.with_best_ridge((held_out.double() - mean) @ projection)).rounded()
