"""The temperature an energy was learned at, by maximum likelihood: one number, fitted on validation images."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.errors import Unmeasurable
from ebmnist.inference.annealing import anneal
from ebmnist.inference.jackknife import jackknife
from ebmnist.inference.probit import ProbitEnergy, y_to_images
from ebmnist.random import AnyRng, Rng

COLDEST, PER_DECADE, N_DECADES = 1e7, 5, 7  # β times the energy that separates images from uniform noise


class Temperature(NamedTuple):
    """The fit, and the curve it was read off."""

    value: float  # T, in units of energy
    error: float  # one standard error over chains
    betas: Tensor  # (K,), falling
    gaps: Tensor  # (K,), dL/dβ at them: mean energy of the chains minus that of the images they started at


def fit_temperature(energy: Energy, y: Tensor, shape: tuple[int, ...], *, n_steps: int, rng: AnyRng) -> Temperature:
    """Maximise L(β) = −β·mean E(x) − log Z(β) over β = 1/T, for images x = Φ(y) of `shape`, y (B, D).

    The integrand of thermodynamic integration, dL/dβ = ⟨E⟩_β − mean E(x), falls with β. The best β is where it is
    zero. ⟨E⟩_β is taken over chains that start at the images. Their temperature rises in stages, with `n_steps` MALA
    steps at each. So they tell of the images' surroundings, not of modes that no image is near.
    Cost: 36 (n_steps + 1) gradients of B images.

    Raises:
        Unmeasurable: energies that are not finite, no lower on images than on noise, or with no best temperature.
    """
    noise = Rng.of(rng).uniform(tuple(y.shape), y.dtype).to(y.device).view(-1, *shape)
    with torch.no_grad():
        at_images, at_noise = energy(y_to_images(y, shape)), energy(noise)
    if not (at_images.isfinite().all() and at_noise.isfinite().all()):
        raise Unmeasurable("the energies of images or of uniform noise are not finite")
    depth = float((at_noise.mean() - at_images.mean()).double())
    if depth <= 0:
        raise Unmeasurable("images have no lower energy than uniform noise, so no temperature above 0 explains them")
    betas = [COLDEST / depth * 10 ** (-k / PER_DECADE) for k in range(PER_DECADE * N_DECADES + 1)]
    offset = float(at_images.mean())
    ladder = [ProbitEnergy(energy, shape, beta, offset) for beta in betas]
    run = anneal(ladder, y, n_steps=n_steps, rng=rng, first_step_size=0.01)
    # U_k − U_{k+1} = (β_k − β_{k+1})(E − E₀): the weights hold the energies at every rung; the first is at x itself.
    falls = torch.tensor(betas[:-1], dtype=torch.float64) - torch.tensor(betas[1:], dtype=torch.float64)
    energies = run.increments.double().cpu() / falls[:, None]  # (K, B)
    gaps = (energies[1:] - energies[0]).T  # (B, K − 1), paired with their own starts
    rungs = torch.tensor(betas[1:-1], dtype=torch.float64)
    log_beta = _crossing(gaps, rungs)
    error = jackknife(lambda rows: _crossing(rows, rungs), gaps, min(20, len(gaps)))
    value = math.exp(-log_beta)
    return Temperature(value, value * error, rungs, gaps.mean(0))


def _crossing(gaps: Tensor, betas: Tensor) -> float:
    """Return log β where the mean of gaps, (B, K), last goes from below 0 to above, with β falling."""
    mean = gaps.mean(0)
    below = (mean < 0).nonzero().flatten()
    if len(below) == 0 or int(below[-1]) == len(mean) - 1:
        raise Unmeasurable("no temperature is best: chains from images gain energy at each one, or at none")
    k = int(below[-1])
    share = float(mean[k] / (mean[k] - mean[k + 1]))
    logs = betas.log()
    return float(logs[k] + share * (logs[k + 1] - logs[k]))
