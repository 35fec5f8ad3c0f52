"""Inpainting: hidden pixels drawn given the others, and how long a chain of one temperature should be."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.errors import Unmeasurable
from ebmnist.inference.image_quality import psnr
from ebmnist.inference.operators import Mask
from ebmnist.inference.posterior import restore
from ebmnist.random import AnyRng, Rng
from ebmnist.sampling.base import Kernel, is_denoiser
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.samples import check_whole_cycles, samples_of
from ebmnist.sampling.start.noise import uniform_noise


class Fill(NamedTuple):
    """How hidden pixels are filled: where the chains start, `noise` or `mean`, and how long they are."""

    start: str
    n_steps: int


def inpaint(
    energy: Energy,
    kernel: Kernel,
    y: Tensor,
    observed: Tensor,
    n_steps: int,
    *,
    rng: AnyRng,
    n_samples: int = 1,
    start: Tensor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return `y` with its hidden pixels drawn given the others, `n_samples` times, (n_samples, B, *shape).

    An energy of all noise levels is sampled as in any restoration: `restore`, of a measurement by `Mask` without noise.
    With one temperature, a chain on u ↦ E(where(observed, y, u)) is the chain for p(hidden | observed).
    Observed pixels come back bit for bit; hidden ones are never read.

    Args:
        energy: (B, *shape) -> (B,).
        kernel: what the energy was trained with; with one temperature, it moves the chains.
        y: images (B, *shape), of which only the observed pixels count.
        observed: bool, broadcastable to `y`: True where a pixel is known.
        n_steps: ≥ 0; ≥ 8 for an energy of all noise levels.
        rng: of the start and the noise.
        n_samples: how many, ≥ 1.
        start: for one temperature, images broadcastable to `y`, from whose hidden pixels the chains start; uniform
            noise if not given.
        progress: called with the number of steps done so far, as `restore` and `run_chain` do.

    Raises:
        BadInput: an `observed` that is not bool; steps that are too few.
    """
    mask = Mask(observed)
    if is_denoiser(kernel):
        measured, rounded = mask.forward(y), 0.0  # the rounding of pixels is all the noise there is
        restored = restore(
            energy, kernel, measured, mask, rounded, rng=rng, n_samples=n_samples, n_steps=n_steps, progress=progress
        )
        return torch.where(observed, y, restored)
    check_whole_cycles(kernel, n_steps)
    rng = Rng.of(rng)
    y, observed = (
        y.repeat(n_samples, *[1] * (y.dim() - 1)),
        observed.expand_as(y).repeat(n_samples, *[1] * (y.dim() - 1)),
    )
    u = uniform_noise(len(y), tuple(y.shape[1:]), rng).to(y) if start is None else start

    energy = frozen(energy)  # run_chain cannot see it inside `conditional`

    def conditional(u: Tensor) -> Tensor:
        return energy(torch.where(observed, y, u))

    u = run_chain(conditional, kernel, torch.where(observed, y, u), n_steps, rng=rng, progress=progress).x
    return torch.where(observed, y, samples_of(energy, kernel, u)).view(n_samples, -1, *y.shape[1:])


def choose_fill(
    energy: Energy,
    kernel: Kernel,
    clean: Tensor,
    observed: Tensor,
    mean: Tensor,
    *,
    rng: AnyRng,
    lengths: Sequence[int],
    n_chains: int = 1,
) -> Fill:
    """Return the fill whose average over `n_chains` chains has the best mean PSNR on hidden pixels of `clean`.

    One run of chains for each start, looked at on its way; `mean`, (*shape), is the mean image. A fill whose PSNR is
    NaN is never chosen.

    Raises:
        Unmeasurable: every fill leaves NaN pixels.
    """
    copies = torch.cat([clean] * n_chains)
    scores: dict[Fill, float] = {}
    for name, start in (("noise", None), ("mean", mean)):
        x, done = start, 0
        for n_steps in sorted(lengths):
            (x,), done = inpaint(energy, kernel, copies, observed, n_steps - done, rng=rng, start=x), n_steps
            score = float(psnr(average_over_chains(x, n_chains), clean, where=~observed).mean())
            if score == score:
                scores[Fill(name, n_steps)] = score
    if not scores:
        raise Unmeasurable("chains hold NaN pixels at every length; the energy has diverged")
    return max(scores, key=lambda fill: scores[fill])


def average_over_chains(x: Tensor, n_chains: int) -> Tensor:
    """Return the average over chains, (n_chains · B, *shape) -> (B, *shape)."""
    return x.view(n_chains, -1, *x.shape[1:]).mean(0)
