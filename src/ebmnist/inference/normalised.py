"""Log-probabilities of an energy that is told the noise level, E(x, σ) = −log p_σ(x): one evaluation each."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.freezing import frozen
from ebmnist.energies.levels import NoiseConditioned
from ebmnist.random import AnyRng, Rng

BATCH_SIZE = 500


class Normaliser(NamedTuple):
    """log ∫ exp(−E(x, σ)) dx in nats, which is 0 for a normalised energy, with one standard error."""

    value: float
    error: float


@torch.no_grad()
def log_density(energy: NoiseConditioned, y: Tensor, sigma: float) -> Tensor:
    """Return log p_σ(y) = −E(y, σ) in nats, (B, *shape) -> (B,) float64. Cost: one energy of each of B."""
    energy = frozen(energy)
    parts = torch.split(y, BATCH_SIZE)
    return -torch.cat([energy(part, part.new_full((len(part),), sigma)).double() for part in parts])


@torch.no_grad()
def log_normaliser(energy: NoiseConditioned, images: Tensor, n: int, *, rng: AnyRng) -> Normaliser:
    """Estimate log Z at the most noise that the energy is told, by importance sampling.

    The draws are from independent Gaussian pixels that have the mean and the variance of `images` with that noise.
    There the law of noisy images is nearly that, so that the weights hardly differ.

    Args:
        energy: (B, *shape) and σ, (B,) -> (B,), in nats.
        images: (N, *shape), N ≥ 2, of the data.
        n: draws, ≥ 2.
        rng: its device is where the energy is computed.
    """
    energy, rng, high = frozen(energy), Rng.of(rng), energy.levels[1]
    mean = images.mean(0).to(rng.device)
    std = (images.var(0) + high**2).sqrt().to(rng.device)
    log_weights = []
    for size in [BATCH_SIZE] * (n // BATCH_SIZE) + [n % BATCH_SIZE] * (n % BATCH_SIZE > 0):
        noise = rng.normal((size, *images.shape[1:]), images.dtype)
        log_q = -(0.5 * noise.square() + torch.log(std * math.sqrt(2 * math.pi))).double().flatten(1).sum(1)
        value = energy(mean + std * noise, noise.new_full((size,), high))
        log_weights.append(-value.double() - log_q)
    log_weight = torch.cat(log_weights)
    log_z = float(log_weight.logsumexp(0)) - math.log(n)
    weight = (log_weight - log_z).exp()
    return Normaliser(log_z, float(weight.std()) / n**0.5)
