"""Langevin chains walked whole in C++, for the energies that can be handed to it: the same steps, none in Python."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ebmnist.energy.base import Energy
from ebmnist.energy.fast import packed_of
from ebmnist.native import Packed, Walked
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.cyclic import Cyclic
from ebmnist.sampling.langevin import Langevin

# Image-steps between two returns to Python, where Ctrl-C is heard and progress is told: well under a second.
STRIDE = 8192


def fused(energy: Energy, kernel: Kernel, x: Tensor) -> Packed | None:
    """The energy as the C++ reads it, if it can walk these chains; None if they are stepped one by one."""
    if type(kernel) not in (Langevin, Cyclic):
        return None
    packed = packed_of(energy, rough=True)
    return packed if packed is not None and packed.takes(x) else None


def walk(
    packed: Packed,
    kernel: Langevin | Cyclic,
    x: Tensor,
    n_steps: int,
    *,
    rng: torch.Generator,
    clock: Tensor | None,
    temperatures: Sequence[float] | None,
    stops: Sequence[int],
) -> Iterator[tuple[int, Walked]]:
    """Yield (steps done, what the last stretch left behind) at every stop, at n_steps, and every little while."""
    sigmas, slacks = _noise_and_slack(kernel, n_steps, clock, temperatures)
    seed = int(torch.randint(2**63 - 1, (), generator=rng))
    chains = torch.arange(len(x), device="cpu")
    done, reach = 0, max(1, STRIDE // len(x))
    while done < n_steps:
        until = min([n_steps, done + reach, *(s for s in stops if s > done)])
        walked = packed.langevin(
            x,
            sigmas[done:until],
            seed=seed,
            stream=0,
            chains=chains,
            first_step=done,
            drift=0.5 * kernel.step_size**2,
            clip=kernel.clip,
            clip_norm=kernel.clip_norm,
            clamp=kernel.clamp,
            noise_first=isinstance(kernel, Langevin) and kernel.noise_first,
            slacks=slacks[done:until],
        )
        x, done = walked.x, until
        yield done, walked


def _noise_and_slack(
    kernel: Langevin | Cyclic, n_steps: int, clock: Tensor | None, temperatures: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Each step's noise, and how far beyond the clamp it may lead: (n_steps, B), or (n_steps, 1) for all alike."""
    if isinstance(kernel, Cyclic):
        start = torch.zeros(1, dtype=torch.int64) if clock is None else clock
        clocks = start + torch.arange(n_steps)[:, None]
        return kernel.noise(clocks), kernel.beyond(clocks)
    at = [kernel.temperature] * n_steps if temperatures is None else temperatures
    sigmas = kernel.step_size * torch.tensor(at, dtype=torch.float64).sqrt()[:, None]
    return sigmas, torch.full((n_steps, 1), kernel.slack)
