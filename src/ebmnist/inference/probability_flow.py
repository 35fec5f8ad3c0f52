"""The likelihood of the probability flow: a denoiser as a continuous normalising flow (Song et al. 2021, appendix D.2).

With t = log σ, the flow dy/dt = y − D(y, σ) carries data with noise σ_min to N(μ, C + σ_max²I), and

    log p_min(y_min) = log N(y_max; μ, C + σ_max²I) + ∫ tr(I − ∂D/∂y) dt.

It is the exact density of the flow, whatever D is: a poor denoiser makes a poor model, not a wrong number. Solver and
trace are approximate. The trace is Hutchinson's, one ξ of random signs for each image. So log p is unbiased but for the
solver, and noisy for one image (Grathwohl et al. 2019).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ebmnist.inference.denoisers import Denoiser
from ebmnist.inference.gaussian import Gaussian
from ebmnist.random import AnyRng, Rng

REACH = 0.02  # of the difference that stands for a derivative, in σ


def log_density(
    denoiser: Denoiser,
    y: Tensor,
    prior: Gaussian,
    low: float,
    high: float,
    *,
    n_steps: int,
    rng: AnyRng,
    watch: Callable[[int], None] | None = None,
) -> Tensor:
    """Return log p of images y with noise σ = `low`, in nats, (B, *shape) -> (B,) float64.

    The Runge-Kutta method of fourth order with `n_steps` even steps of log σ. The derivative along ξ is a central
    difference. Cost: 12 n_steps denoised images for each of B.

    Args:
        denoiser: smooth in y, or the trace is not that of its derivative.
        y: data with noise.
        prior: the law of data without noise; its own noise of `high` is added.
        low: σ_min > 0, in pixels.
        high: σ_max.
        n_steps: of the solver, ≥ 1; with 8, an energy's log p was within 1 nat.
        rng: of the signs.
        watch: told how many steps are done.
    """
    signs = (Rng.of(rng).uniform(tuple(y.shape)).to(y) < 0.5).to(y) * 2 - 1
    dt = math.log(high / low) / n_steps
    gained = torch.zeros(len(y), dtype=torch.float64, device=y.device)
    for step in range(n_steps):
        k: list[tuple[Tensor, Tensor]] = []
        for share in (0.0, 0.5, 0.5, 1.0):  # of the step, where each stage looks, by way of the one before
            at = y + share * dt * k[-1][0] if k else y
            k.append(_flow(denoiser, at, low * math.exp((step + share) * dt), signs))
        y = y + dt / 6 * (k[0][0] + 2 * k[1][0] + 2 * k[2][0] + k[3][0])
        gained += dt / 6 * (k[0][1] + 2 * k[1][1] + 2 * k[2][1] + k[3][1])
        if watch is not None:
            watch(step + 1)
    return prior.log_density(y, high) + gained


def _flow(denoiser: Denoiser, y: Tensor, sigma: float, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return y − D(y), (B, *shape), and ξᵀ(I − ∂D/∂y)ξ, (B,) float64."""
    at, h = y.new_full((len(y),), sigma), REACH * sigma
    change = denoiser(y + h * signs, at) - denoiser(y - h * signs, at)
    trace = y[0].numel() - (signs * change).double().flatten(1).sum(1) / (2 * h)
    return y - denoiser(y, at), trace
