"""Inpainting: a chain that moves the hidden pixels alone, and how long it should be."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.inference.image_quality import psnr
from ebmnist.random import AnyRng, Rng
from ebmnist.sampling.base import Kernel, NoiseSchedule
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
    start: Tensor | None = None,
) -> Tensor:
    """Return `y` with its hidden pixels where a chain on u ↦ E(where(observed, y, u)) ends, (B, *shape).

    That is the chain for p(hidden | observed). A kernel with a cycle holds data at another level of noise at each step:
    there the observed pixels carry the level's noise, drawn anew for each step (Song & Ermon 2019, app. B.3).
    Observed pixels come back bit for bit; hidden ones are never read.

    Args:
        energy: (B, *shape) -> (B,).
        kernel: it moves the chains, at its own temperature.
        y: images (B, *shape), of which only the observed pixels count.
        observed: bool, broadcastable to `y`: True where a pixel is known.
        n_steps: ≥ 0.
        rng: of the start and the noise.
        start: images broadcastable to `y`, from whose hidden pixels the chains start; uniform noise if not given.

    Raises:
        BadInput: an `observed` that is not bool, a negative `n_steps`, or one that ends in the middle of a cycle.
    """
    check_whole_cycles(kernel, n_steps)
    if observed.dtype != torch.bool:
        raise BadInput(f"inpaint: the mask is {observed.dtype}; give a bool one, True where a pixel is known")
    rng = Rng.of(rng)
    u = uniform_noise(len(y), tuple(y.shape[1:]), rng).to(y) if start is None else start

    energy = frozen(energy)  # run_chain cannot see it inside `conditional`

    def conditional(u: Tensor) -> Tensor:
        return energy(torch.where(observed, y, u))

    if isinstance(kernel, NoiseSchedule):
        u = _in_cycles(energy, kernel, y, observed, n_steps, rng, u)
    else:
        u = run_chain(conditional, kernel, torch.where(observed, y, u), n_steps, rng=rng).x
    return torch.where(observed, y, samples_of(energy, kernel, u))


def _in_cycles(
    energy: Energy, kernel: NoiseSchedule, y: Tensor, observed: Tensor, n_steps: int, rng: Rng, u: Tensor
) -> Tensor:
    """Chains of whole cycles, before each of whose steps the observed pixels are put to `y` with its noise."""
    u, chains = u.expand_as(y), torch.arange(len(y), dtype=torch.int64, device=y.device)
    seen, segment = rng.stream(), rng.stream()
    for i in range(n_steps):
        step_index = torch.full((len(y),), i, device=y.device)
        level = kernel.sigma(step_index[:1] - 1)
        noisy = y + level * seen.normal(chains, i, tuple(y.shape[1:]), dtype=y.dtype)
        u = run_chain(
            energy, kernel, torch.where(observed, noisy, u), 1, rng=segment, first_step=i, step_index=step_index
        ).x
    return u


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
            x, done = inpaint(energy, kernel, copies, observed, n_steps - done, rng=rng, start=x), n_steps
            score = float(psnr(average_over_chains(x, n_chains), clean, where=~observed).mean())
            if score == score:
                scores[Fill(name, n_steps)] = score
    if not scores:
        raise Unmeasurable("chains hold NaN pixels at every length; the energy has diverged")
    return max(scores, key=lambda fill: scores[fill])


def average_over_chains(x: Tensor, n_chains: int) -> Tensor:
    """Return the average over chains, (n_chains · B, *shape) -> (B, *shape)."""
    return x.view(n_chains, -1, *x.shape[1:]).mean(0)
