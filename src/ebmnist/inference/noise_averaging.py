"""The noise-averaged energy: the mean of E(x + σξ), at a σ where E is large against its temperature."""

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.energies.levels import at_level
from ebmnist.inference.scoring import energies
from ebmnist.random import AnyRng, Rng
from ebmnist.sampling.base import Kernel, NoiseSchedule

SIGMA = 0.3  # where noise hides strokes and not digits, chosen on validation images (docs/log.md, 2026-11-25)
N_PAIRS = 4


def averaging_sigma(kernel: Kernel) -> float | None:
    """Return σ = 0.3, or what the kernel's noise levels have nearest to it; None for a kernel without noise levels."""
    if not isinstance(kernel, NoiseSchedule):
        return None
    levels = kernel.sigma(torch.arange(kernel.cycle))
    return float(levels[(levels - SIGMA).abs().argmin()])


def noise_averaged_energy(
    energy: Energy, images: Tensor, sigma: float, *, rng: AnyRng, name: str, n_pairs: int = N_PAIRS
) -> Tensor:
    """Return the mean of E(x + σξ) and E(x − σξ) over `n_pairs` draws of ξ ~ N(0, I), (N, *shape) -> (N,).

    All images have the same noise (common random numbers), so a score belongs to the image alone, and what the noise
    adds to every image cancels in a comparison. Pairs ±ξ (antithetic variates) cancel what is linear in the noise
    (Hammersley & Morton 1956). An energy that is told the noise level is told σ.

    Raises:
        Unmeasurable: an energy is NaN or infinite; `name` is what the message calls the images.
    """
    energy = frozen(energy)

    def at_sigma(y: Tensor) -> Tensor:
        return at_level(energy, y.new_full((len(y),), sigma))(y)

    draws = sigma * Rng.of(rng).normal((n_pairs, *images.shape[1:])).to(images)
    noisy = (images + sign * draw for draw in draws for sign in (1, -1))
    return torch.stack([energies(at_sigma, x, name) for x in noisy]).mean(0)
