"""Chains run whole in C++, for the energies that can be handed to it: the same steps, none in Python."""

from collections.abc import Iterator, Sequence
from typing import get_args

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.fast import followed, native_net_of, plain
from ebmnist.native import NativeNet, NativeSegment, StepNumbers
from ebmnist.random import ChainRng
from ebmnist.sampling.ancestral import Ancestral
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.dpm_solver import DPMSolver
from ebmnist.sampling.heun import Heun
from ebmnist.sampling.langevin import Langevin

NativeKernel = Langevin | AnnealedLangevin | Ancestral | Heun | DPMSolver  # those that the C++ can run
# Gradients of images between two returns to Python, where Ctrl-C is heard and progress is told: well under a second.
STRIDE = 8192


def native_net_for(energy: Energy, kernel: Kernel, x: Tensor) -> NativeNet | None:
    """The energy as the C++ reads it, if it can run these chains; None if they are stepped one by one."""
    if type(kernel) not in get_args(NativeKernel) or followed() or not plain(x):
        return None
    native_net = native_net_of(energy, low_precision=True)
    return native_net if native_net is not None and native_net.takes(x) else None


def run_native(
    native_net: NativeNet,
    kernel: NativeKernel,
    x: Tensor,
    numbers: ChainRng,
    *,
    step_index: Tensor | None,
    temperatures: Sequence[float] | None,
    stops: Sequence[int],
) -> Iterator[tuple[int, NativeSegment]]:
    """Yield (steps done, what the last stretch left behind) at every stop, at n_steps, and every little while."""
    stream, n_steps = numbers.stream, len(numbers.steps)
    evaluations = 1 if isinstance(kernel, Langevin) else kernel.evaluations
    done, reach, memory = 0, max(1, STRIDE // len(x) // evaluations), None
    while done < n_steps:
        until = min([n_steps, done + reach, *(s for s in stops if s > done)])
        segment = native_net.langevin(
            x,
            _numbers(kernel, range(done, until), step_index, temperatures),
            seed=stream.seed,
            stream=stream.word,
            chains=numbers.chains,
            first_step=numbers.steps.start + done,
            clip=kernel.clip,
            clip_norm=kernel.clip_norm,
            clamp=kernel.clamp,
            noise_first=kernel.noise_first,
            evaluations=evaluations,
            memory=memory,
        )
        x, memory, done = segment.x, segment.memory, until
        yield done, segment


def _numbers(
    kernel: NativeKernel, steps: range, step_index: Tensor | None, temperatures: Sequence[float] | None
) -> StepNumbers:
    """Those of each step."""
    if not isinstance(kernel, Langevin):
        start = torch.zeros(1, dtype=torch.int64, device="cpu") if step_index is None else step_index
        at = start + torch.arange(steps.start, steps.stop, device="cpu")[:, None]
        return kernel.numbers(at)
    ts = [kernel.temperature] * len(steps) if temperatures is None else temperatures[steps.start : steps.stop]
    sigmas = kernel.step_size * torch.as_tensor(ts, dtype=torch.float64, device="cpu").sqrt()[:, None]
    alike = torch.ones(len(steps), 1, dtype=torch.float32, device="cpu")
    return StepNumbers(0.5 * kernel.step_size**2 * alike, sigmas, kernel.clamp_margin * alike)
