"""The variational bound of a denoising chain: how many nats an image takes at most (Kingma et al. 2021).

The chain starts at N(μ, C + σ_max²I) and takes noise away until σ_min, where a decoder gives the bytes. With infinitely
many steps, in the variance-exploding form,

    −log p(x) ≤ KL(N(x, σ_max²I) ‖ N(μ, C + σ_max²I)) + ∫ E‖x − D(x + σξ, σ)‖²/σ² d log σ − E log p(x | x + σ_min ξ).

Any function of y and σ may stand for D. The better it denoises, the smaller the bound is.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import per_sample
from ebmnist.inference.calibration import Calibration, log_uniform
from ebmnist.inference.denoisers import Denoiser
from ebmnist.inference.gaussian import Gaussian
from ebmnist.random import AnyRng, Rng

BATCH_SIZE = 1000


class Level(NamedTuple):
    """A range of noise levels and the denoiser for it."""

    low: float  # σ, in pixels
    high: float
    denoiser: Denoiser


class Loss(NamedTuple):
    """The three parts of the bound on −log p(bytes), in nats, (B,) float64 each."""

    prior: Tensor
    diffusion: Tensor
    decoder: Tensor

    @property
    def total(self) -> Tensor:
        """The bound, (B,)."""
        return self.prior + self.diffusion + self.decoder


class Chain(NamedTuple):
    """A denoising chain as a model of bytes: prior, levels from σ_max down to σ_min, decoder."""

    prior: Gaussian  # of images without noise
    levels: tuple[Level, ...]
    decoder: Calibration

    @property
    def sigma_min(self) -> float:
        """Where the decoder takes over, in pixels."""
        return self.levels[-1].low

    @property
    def sigma_max(self) -> float:
        """Where the chain starts, in pixels."""
        return self.levels[0].high

    def loss(self, x: Tensor, *, rng: AnyRng, watch: Callable[[int], None] | None = None) -> Loss:
        """Estimate the bound for images x, (B, 1, H, W); `watch` is told of the levels done.

        Cost: one denoised image for each level, and one.
        """
        diffusion = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for k, level in enumerate(self.levels):
            diffusion += diffusion_loss(level, x, rng=rng)
            if watch is not None:
                watch(k + 1)
        decoder = decoder_loss(self.decoder, x, self.sigma_min, rng=rng)
        return Loss(self.prior.divergence(x, self.sigma_max), diffusion, decoder)


def diffusion_loss(level: Level, x: Tensor, *, rng: AnyRng) -> Tensor:
    """Estimate ∫ E‖x − D(x + σξ, σ)‖²/σ² d log σ over a level, in nats, (B, *shape) -> (B,).

    Unbiased, with one σ and ξ for each image; over the images log σ is stratified. Cost: B denoised images.
    """
    rng = Rng.of(rng)
    sigma = log_uniform(len(x), level.low, level.high, rng)
    noise = rng.normal(tuple(x.shape)).to(x)
    losses = []
    for part, s, xi in zip(*(torch.split(t, BATCH_SIZE) for t in (x, sigma.to(x), noise)), strict=True):
        error = part - level.denoiser(part + per_sample(s, part) * xi, s)
        losses.append(error.double().square().flatten(1).sum(1) / s.double().square())
    return torch.cat(losses) * math.log(level.high / level.low)


def decoder_loss(decoder: Calibration, x: Tensor, sigma: float, *, rng: AnyRng) -> Tensor:
    """Estimate −E log p(x | x + σξ) in nats, (B, *shape) -> (B,), with one ξ for each image."""
    noise = Rng.of(rng).normal(tuple(x.shape)).to(x)
    losses = []
    for part, xi in zip(torch.split(x, BATCH_SIZE), torch.split(noise, BATCH_SIZE), strict=True):
        losses.append(-decoder.log_prob(part, part + sigma * xi, part.new_full((len(part),), sigma)))
    return torch.cat(losses).double()


def dequantised_loss(
    log_density: Callable[[Tensor], Tensor], decoder: Calibration, x: Tensor, sigma: float, *, rng: AnyRng
) -> Tensor:
    """Estimate a bound on −log p(bytes of x) in nats, (B, *shape) -> (B,), from a density of noisy images.

    Bytes become numbers by Gaussian noise σ, and the decoder takes them back: log q(y | x) − log p_σ(y) − log p(x | y),
    with q the density of the noise (variational dequantisation: Ho et al. 2019).

    Args:
        log_density: log p_σ of images with noise σ, in nats, (B, *shape) -> (B,).
        decoder: fitted at σ.
        x: images in [0, 1].
        sigma: the noise, in pixels.
        rng: of the noise.
    """
    xi = Rng.of(rng).normal(tuple(x.shape)).to(x)
    y = x + sigma * xi
    log_q = -0.5 * xi.double().square().flatten(1).sum(1) - x[0].numel() * math.log(sigma * math.sqrt(2 * math.pi))
    return log_q - log_density(y) - decoder.log_prob(x, y, y.new_full((len(y),), sigma)).double()


def bits_per_dimension(nats: Tensor, n_dims: int) -> Tensor:
    """Return −log p(bytes) in bits for each of D pixels: nats / (D log 2).

    >>> bits_per_dimension(torch.tensor(784 * math.log(256)), 784).item()
    8.0
    """
    return nats / (n_dims * math.log(2))
