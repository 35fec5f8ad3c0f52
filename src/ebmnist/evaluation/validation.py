"""The Fréchet distance that settings are chosen by: samples from noise beside validation images, never test images."""

from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import Metric, ProgressCallback, unwatched
from ebmnist.evaluation.feature_metrics import FeatureMetrics
from ebmnist.evaluation.feature_net import load_feature_net
from ebmnist.random import Rng
from ebmnist.sampling import sample
from ebmnist.sampling.base import Sampler

BATCH_SIZE = 256  # samples drawn at a time


def validation_distance(
    energy: Energy,
    sampler: Sampler,
    images: Tensor,
    n: int,
    *,
    rng: Rng,
    progress: ProgressCallback = unwatched,
) -> Metric:
    """Return the Fréchet distance of `n` samples to validation images, (M, *shape), with its jackknife error.

    Raises:
        Unmeasurable: the samples are too few, not finite or all but constant.
    """
    (kernel, n_steps), shape = sampler, tuple(images.shape[1:])
    total = n_steps * -(-n // BATCH_SIZE)
    samples = sample(
        energy,
        n,
        rng=rng,
        kernel=kernel,
        n_steps=n_steps,
        shape=shape,
        batch_size=BATCH_SIZE,
        progress=lambda done: progress(done, total),
    )
    if not samples.isfinite().all():
        raise Unmeasurable("a sample is not finite; the energy has diverged")
    metrics = FeatureMetrics(load_feature_net(rng.device), images.to(rng.device))
    seen = metrics.extract(samples)
    return Metric("Fréchet distance", metrics.frechet_distance(seen), metrics.frechet_error(seen))
