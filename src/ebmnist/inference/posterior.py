"""The posterior p(x|y) ∝ exp(−E(x)/T − ‖x − y‖²/2σ²) of a noisy image: its mean by Langevin chains, or in one step."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.freezing import frozen
from ebmnist.errors import Unmeasurable
from ebmnist.inference.image_quality import psnr
from ebmnist.random import AnyRng
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.langevin import Langevin

STRENGTHS = (10.0, 30.0, 100.0)
STEPS = (0.03, 0.01)
LENGTHS = (3, 5, 10, 20)

Box = tuple[float, float] | None


class Posterior(NamedTuple):
    """How a posterior is sampled."""

    temperature: float  # T of the prior exp(−E/T), in units of energy
    step: float  # of the Langevin chain, h = ε²/2 in units of σ²
    n_steps: int


def posterior_mean(
    energy: Energy,
    y: Tensor,
    sigma: float,
    posterior: Posterior,
    *,
    rng: AnyRng,
    n_chains: int = 4,
    clamp: Box = (0.0, 1.0),
) -> Tensor:
    """Return the average over the second half of each of `n_chains` Langevin chains from `y`, (B, *shape).

    x ← clamp(x − h(∇E(x)/T + (x − y)/σ²) + √(2h) ξ): unadjusted, and with ∇E as it is, unclipped.
    """
    half = range(posterior.n_steps // 2, posterior.n_steps + 1)
    parts = [
        _trajectory(energy, part, sigma, posterior, keep=half, rng=rng, n_chains=n_chains, clamp=clamp)
        for part in torch.split(y, 128)
    ]
    return torch.cat([part.mean(0) for part in parts])


def choose_posterior(
    energy: Energy,
    clean: Tensor,
    sigma: float,
    *,
    rng: AnyRng,
    n_chains: int = 4,
    strengths: Sequence[float] = STRENGTHS,
    steps: Sequence[float] = STEPS,
    lengths: Sequence[int] = LENGTHS,
    clamp: Box = (0.0, 1.0),
) -> Posterior:
    """Return the setting with the best mean PSNR on `clean`, validation images (B, *shape), noised at σ.

    A strength s stands for T = σ·rms(∇E)/s, with ∇E at the noisy images: there the prior pulls about s times as hard
    as the likelihood, whatever the scale of E. A setting whose PSNR is NaN is never chosen.

    Raises:
        Unmeasurable: ∇E is zero or not finite, or every setting leaves NaN images.
    """
    y = add_noise(clean, sigma, rng)
    rms = float(_grad(energy, _clamped(y, clamp)).square().mean().sqrt())
    if not 0 < rms < torch.inf:
        raise Unmeasurable(f"∇E at noisy images, root mean square, is {rms:g}: there is no posterior to sample")
    scores: dict[Posterior, float] = {}
    for strength in strengths:
        for step in steps:
            longest = Posterior(sigma * rms / strength, step, max(lengths))
            states = _trajectory(
                energy, y, sigma, longest, keep=range(max(lengths) + 1), rng=rng, n_chains=n_chains, clamp=clamp
            )
            for n in lengths:
                score = float(psnr(states[n // 2 : n + 1].mean(0), clean).mean())
                if score == score:
                    scores[longest._replace(n_steps=n)] = score
    if not scores:
        raise Unmeasurable("posterior chains hold NaN pixels at every temperature; the energy has diverged")
    return max(scores, key=lambda posterior: scores[posterior])


def tweedie(energy: Energy, y: Tensor, scale: float, *, clamp: Box = (0.0, 1.0)) -> Tensor:
    """Return c − scale·∇E(c), c = clamp(y), (B, *shape): one step, not clamped.

    With scale = σ²/T it is Tweedie's E[x|y] = y + σ²∇log p(y) (Robbins 1956; Efron 2011) if exp(−E/T) is the density
    of *noisy* images. It is taken at the clamped image because an energy knows no others than its chains saw.
    """
    c = _clamped(y, clamp)
    return c - scale * _grad(energy, c)


def choose_scale(energy: Energy, clean: Tensor, sigma: float, *, rng: AnyRng, clamp: Box = (0.0, 1.0)) -> float:
    """Return the scale ≥ 0 of least squared error on `clean`, validation images noised at σ: Σ⟨c − x, ∇E⟩ / Σ‖∇E‖².

    Raises:
        Unmeasurable: ∇E is zero or not finite.
    """
    c = _clamped(add_noise(clean, sigma, rng), clamp)
    grad = _grad(energy, c)
    scale = float(((c - clean) * grad).double().sum() / grad.double().square().sum())
    if scale != scale:
        raise Unmeasurable("∇E at noisy images is zero or NaN: there is no step to take")
    return max(scale, 0.0)


def _clamped(y: Tensor, clamp: Box) -> Tensor:
    return y if clamp is None else y.clamp(*clamp)


def _grad(energy: Energy, y: Tensor) -> Tensor:
    """Return ∇E, (B, *shape)."""
    energy = frozen(energy)
    return torch.cat([energy_and_grad(energy, part)[1] for part in torch.split(y, 500)])


def _trajectory(
    energy: Energy,
    y: Tensor,
    sigma: float,
    posterior: Posterior,
    *,
    keep: Collection[int],
    rng: AnyRng,
    n_chains: int,
    clamp: Box,
) -> Tensor:
    """Return where the chains are at the steps to keep, averaged over the chains, (len(keep), B, *shape)."""
    copies = torch.cat([y] * n_chains)
    energy = frozen(energy)  # run_chain cannot see it inside `u`

    def u(x: Tensor) -> Tensor:
        return energy(x) / posterior.temperature + (x - copies).square().flatten(1).sum(1) / (2 * sigma**2)

    kernel = Langevin(step_size=(2 * posterior.step) ** 0.5 * sigma, temperature=1.0, clip=None, clamp=clamp)
    start = _clamped(copies, clamp)
    states = run_chain(u, kernel, start, posterior.n_steps, rng=rng, keep=keep).trajectory
    assert states is not None
    return states.view(len(states), n_chains, *y.shape).mean(1)
