"""A density of a network's hidden features: one full-covariance Gaussian for each label (Lee et al. 2018)."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.gaussian_mixture import GaussianMixture, fit_gaussian_mixture

N_COMPONENTS = 96
NEGLIGIBLE = 1e-8  # a direction with this share of the largest variance, or less, is rounding


class FeatureDensity(NamedTuple):
    """p(h) = Σ_c w_c N(z; μ_c, C_c) of features h, (n,), by their leading D principal components z, all float64.

    z = (h − mean) · projection has unit variance over all labels. Lee et al. (2018) share one covariance among the
    labels; here each has its own.
    """

    mean: Tensor  # (n,)
    projection: Tensor  # (n, D)
    mixture: GaussianMixture  # over D numbers

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return −log p(h), in nats up to a constant, and the ambiguity of the label, (N, n) -> twice (N,) float64.

        The ambiguity is −log(1 + m), m ≥ 0 the log-odds between the two likeliest labels: near 0 for an image that
        stands between two of them. It is None where there is one label. Hendrycks & Gimpel (2017) score by the
        largest posterior probability; the odds do not run into 1.
        """
        log_joint = self.mixture.log_joint((features.to(self.mean) - self.mean) @ self.projection)  # (N, C)
        ambiguity = None
        if log_joint.shape[1] > 1:
            first, second = log_joint.topk(2, 1).values.T
            ambiguity = -torch.log1p(first - second)
        return -log_joint.logsumexp(1), ambiguity

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
