"""Metrics of an energy that is told the noise level: its own log-density, and how it agrees with the flow's."""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from ebmnist.energies.levels import NoiseConditioned, levels_of
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, mean_metric, take
from ebmnist.inference.normalised import log_density, log_normaliser
from ebmnist.inference.variational_bound import Chain, bits_per_dimension, dequantised_loss
from ebmnist.random import Rng

N_DRAWS = 1000  # of the importance sampling
NORMALISED = (
    "Normalised energy: E(y, σ_min) is −log p of images with noise σ_min, without chain or ODE, and the same decoder "
    "takes the noise back. It is a bound as far as E is normalised, which training only aims at. Its agreement with "
    "the flow is measured on the flow's images and noise. log Z: importance sampling at the most noise that E is told. "
)


class Flow(NamedTuple):
    """What the probability flow says, and all that it takes to ask another density the same."""

    x: Tensor  # images (B, *shape)
    nats: Tensor  # −log p(bytes), (B,)
    chain: Chain  # σ_min and the decoder
    rng: Rng  # what the noise was drawn from


def normalised_metrics(context: EvaluationContext, flow: Flow, test: Tensor, rng: Rng) -> list[Metric]:
    """Return the figures of an energy that is told the noise level; none of one that is told nothing.

    Raises:
        Unmeasurable: an energy that is not finite.
    """
    if (levels := levels_of(context.energy)) is None:
        return []
    energy, sigma = cast(NoiseConditioned, context.energy), flow.chain.sigma_min

    def nats(x: Tensor, noise: Rng) -> Tensor:
        return dequantised_loss(lambda y: log_density(energy, y, sigma), flow.chain.decoder, x, sigma, rng=noise)

    of_test, own = nats(test, rng), nats(flow.x, flow.rng)
    if not (of_test.isfinite().all() and own.isfinite().all()):
        raise Unmeasurable("the normalised energy of noisy images is not finite")
    z = log_normaliser(energy, take(context.dataset.train.images, 10 * N_DRAWS, context.device), N_DRAWS, rng=rng)
    bits = bits_per_dimension(of_test, test[0].numel())
    r = float(torch.corrcoef(torch.stack([flow.nats, own]))[0, 1])
    note = f"N = {len(test):,}; σ_min = {sigma:.3g}"
    same = f"N = {len(own):,}, the same images and noise"
    return [
        mean_metric("bits per dimension, normalised energy", bits, unit="bits", note=note),
        mean_metric("normalised energy less probability flow", own - flow.nats, unit="nats", note=same),
        Metric("correlation of the two", r, (1 - r * r) / len(own) ** 0.5, note=same),
        Metric(f"log Z at σ = {levels[1]:g}", z.value, z.error, "nats", "0 for a normalised energy"),
    ]
