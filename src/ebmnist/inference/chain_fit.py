"""Fits denoising chains: calibrations on training images, σ_min on validation images."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.inference.calibration import Calibration, fit_calibration
from ebmnist.inference.denoisers import Denoiser, Scaled
from ebmnist.inference.gaussian import Gaussian
from ebmnist.inference.variational_bound import Chain, Level, decoder_loss, diffusion_loss
from ebmnist.random import AnyRng


class FittedChain(NamedTuple):
    """Chains that differ in where they end, and the bounds on validation images that choose among them."""

    candidates: tuple[Chain, ...]  # K of them, σ_min falling
    nats: Tensor  # (K,), mean over validation images

    @property
    def chain(self) -> Chain:
        """The best."""
        return self.candidates[int(self.nats.argmin())]

    @property
    def sigmas(self) -> Tensor:
        """σ_min of each, (K,)."""
        return torch.tensor([chain.sigma_min for chain in self.candidates])


class Chains(NamedTuple):
    """Two chains of one denoiser D."""

    calibrated: FittedChain  # of the mean of each byte's distribution, given D
    scaled: FittedChain  # of y + c(σ)(D(y, σ) − y), which is as smooth as D
    denoiser: Scaled  # of the second, at all levels


def level_edges(sigma_max: float, sigma_low: float, n_levels: int) -> list[float]:
    """Return the ends of n levels, even in log σ, falling from `sigma_max` to `sigma_low`.

    >>> level_edges(2.0, 0.5, 2)
    [2.0, 1.0, 0.5]
    """
    return [sigma_max * (sigma_low / sigma_max) ** (k / n_levels) for k in range(n_levels + 1)]


def fit_chains(
    denoiser: Denoiser,
    prior: Gaussian,
    train: Tensor,
    validation: Tensor,
    edges: Sequence[float],
    *,
    rng: AnyRng,
    watch: Callable[[int], None] | None = None,
) -> Chains:
    """Fit a calibration to `train` at each level and at each candidate for σ_min; take the best on `validation`.

    The candidates are the lower half of `edges`, which fall. Images are (N, 1, H, W) in [0, 1]. `watch` is told of the
    calibrations done. Cost: about 1.5 N_train + 3 N_validation denoised images for each level.

    Raises:
        Unmeasurable: a denoiser that moves no image, or estimates that are not finite.
    """
    calibrations: list[Calibration] = []

    def calibration(low: float, high: float) -> Calibration:
        calibrations.append(fit_calibration(denoiser, train, low, high, rng=rng))
        if watch is not None:
            watch(len(calibrations))
        return calibrations[-1]

    calibrated = [Level(low, high, calibration(low, high)) for high, low in pairwise(edges)]
    middles = [math.sqrt(level.low * level.high) for level in calibrated]
    scaled = Scaled(denoiser, tuple(middles[::-1]), tuple(c.scale for c in calibrations[::-1]))
    decoders = [calibration(low, low) for low in edges[-n_candidates(edges) :]]
    return Chains(
        _fitted(prior, calibrated, decoders, validation, rng),
        _fitted(prior, [level._replace(denoiser=scaled) for level in calibrated], decoders, validation, rng),
        scaled,
    )


def n_candidates(edges: Sequence[float]) -> int:
    """How many of the edges may be σ_min: half of the levels' lower ends."""
    return len(edges) // 2


def _fitted(
    prior: Gaussian, levels: Sequence[Level], decoders: Sequence[Calibration], x: Tensor, rng: AnyRng
) -> FittedChain:
    """Return a chain for each decoder, the last of which is for the lowest level, with the mean bound on `x`."""
    n_before = len(levels) - len(decoders)
    chains = [Chain(prior, tuple(levels[: n_before + k + 1]), decoder) for k, decoder in enumerate(decoders)]
    diffusion = torch.tensor([float(diffusion_loss(level, x, rng=rng).mean()) for level in levels]).cumsum(0)
    decoded = [float(decoder_loss(chain.decoder, x, chain.sigma_min, rng=rng).mean()) for chain in chains]
    prior_nats = float(prior.divergence(x, levels[0].high).mean())
    return FittedChain(tuple(chains), prior_nats + diffusion[n_before:] + torch.tensor(decoded))
