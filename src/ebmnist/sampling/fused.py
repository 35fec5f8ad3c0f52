"""Langevin chains walked whole in C++, for the energies that can be handed to it: the same steps, none in Python."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ebmnist.energy.base import Energy
from ebmnist.energy.fast import followed, packed_of, plain
from ebmnist.native import Packed, Walked
from ebmnist.random import ChainRng
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.cyclic import Cyclic
from ebmnist.sampling.langevin import Langevin

# Image-steps between two returns to Python, where Ctrl-C is heard and progress is told: well under a second.
STRIDE = 8192


def fused(energy: Energy, kernel: Kernel, x: Tensor) -> Packed | None:
    """The energy as the C++ reads it, if it can walk these chains; None if they are stepped one by one."""
    if type(kernel) not in (Langevin, Cyclic) or followed() or not plain(x):
        return None
    packed = packed_of(energy, rough=True)
    return packed if packed is not None and packed.takes(x) else None


def walk(
    packed: Packed,
    kernel: Langevin | Cyclic,
    x: Tensor,
    numbers: ChainRng,
    *,
    clock: Tensor | None,
    temperatures: Sequence[float] | None,
    stops: Sequence[int],
) -> Iterator[tuple[int, Walked]]:
    """Yield (steps done, what the last stretch left behind) at every stop, at n_steps, and every little while."""
    stream, n_steps = numbers.stream, len(numbers.steps)
    done, reach = 0, max(1, STRIDE // len(x))
    while done < n_steps:
        until = min([n_steps, done + reach, *(s for s in stops if s > done)])
        sigmas, slacks = _noise_and_slack(kernel, range(done, until), clock, temperatures)
        walked = packed.langevin(
            x,
            sigmas,
            seed=stream.seed,
            stream=stream.word,
            chains=numbers.chains,
            first_step=numbers.steps.start + done,
            drift=0.5 * kernel.step_size**2,
            clip=kernel.clip,
            clip_norm=kernel.clip_norm,
            clamp=kernel.clamp,
            noise_first=isinstance(kernel, Langevin) and kernel.noise_first,
            slacks=slacks,
        )
        x, done = walked.x, until
        yield done, walked


def _noise_and_slack(
    kernel: Langevin | Cyclic, steps: range, clock: Tensor | None, temperatures: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Each step's noise, and how far beyond the clamp it may lead: (steps, B), or (steps, 1) for all alike."""
    if isinstance(kernel, Cyclic):
        start = torch.zeros(1, dtype=torch.int64, device="cpu") if clock is None else clock
        clocks = start + torch.arange(steps.start, steps.stop, device="cpu")[:, None]
        return kernel.noise(clocks), kernel.beyond(clocks)
    at = [kernel.temperature] * len(steps) if temperatures is None else temperatures[steps.start : steps.stop]
    sigmas = kernel.step_size * torch.as_tensor(at, dtype=torch.float64, device="cpu").sqrt()[:, None]
    return sigmas, torch.full((len(steps), 1), kernel.slack, dtype=torch.float32, device="cpu")
