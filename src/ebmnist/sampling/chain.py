"""A chain is a kernel applied n_steps times; a sample is where a chain that began in noise ends."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen, parametrised
from ebmnist.errors import BadInput
from ebmnist.native import NativeNet
from ebmnist.random import AnyRng, ChainRng, Rng, Stream
from ebmnist.sampling.base import ChainState, Kernel, Samplable, Sampler, StepInfo
from ebmnist.sampling.border import check_start, check_steps
from ebmnist.sampling.clipping import clip_grad
from ebmnist.sampling.graphed import graphed, replay
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.native_chains import NativeKernel, native_net_for, run_native
from ebmnist.sampling.samples import check_whole_cycles, cycle_of, samples_of


class Trace(NamedTuple):
    """What every step of a chain saw; each is (n_steps, B)."""

    energy: Tensor
    grad_norm: Tensor
    share_clipped: Tensor
    displacement: Tensor
    accepted: Tensor  # 1.0 where the proposal was taken; all ones for a kernel that accepts always


class Chain(NamedTuple):
    """Where the chains ended, and what was asked to be kept on the way."""

    x: Tensor  # (B, *shape)
    last: StepInfo | None = None  # of the last step; None for a chain of no steps
    trajectory: Tensor | None = None  # (len(keep), B, *shape)
    trace: Trace | None = None


def run_chain(
    energy: Energy,
    kernel: Kernel,
    x: Tensor,
    n_steps: int,
    *,
    rng: AnyRng | Stream,
    chains: Tensor | None = None,
    first_step: int = 0,
    step_index: Tensor | None = None,
    temperatures: Sequence[float] | None = None,
    keep: Collection[int] = (),
    record: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Chain:
    """Apply `kernel` to the chains at `x`, (B, *shape), `n_steps` times, with the energy's weights frozen.

    Args:
        energy: (B, *shape) -> (B,).
        kernel: one of `sampling.REGISTRY`, or anything that meets the Protocol.
        x: where the chains start.
        n_steps: ≥ 0.
        rng: of the noise, which is a function of seed, call, chain, step and pixel. An `Rng` or a generator gives each
            call of this function numbers of its own; with a `Stream`, a chain cut in two is the same chain.
        chains: (B,) int64 in [0, 2³²), on the device of `x`: the number of each chain; 0 to B − 1 if not given.
        first_step: the number of the first step, ≥ 0; the last is below 2³².
        step_index: the step that each chain is at, (B,), for a kernel that changes with it; 0 if not given.
        temperatures: one per step, in place of the kernel's own (annealing); not for a kernel with its own schedule.
        keep: steps whose `x` is kept in `trajectory`, in rising order; 0 is the start.
        record: keep a `Trace` of every step.
        progress: called with the number of steps done after each of them.

    Raises:
        BadInput: an argument of another kind, shape or range; `temperatures` beside a schedule.
    """
    check_start(x, step_index)
    check_steps(kernel, n_steps, temperatures, keep)
    numbers = ChainRng.of(rng, x, n_steps, chains, first_step)
    # The C++ has a copy of the weights in any case: to freeze them first takes as long as a step.
    native_net = None if parametrised(energy) else native_net_for(energy, kernel, x)
    if native_net is None:
        energy = frozen(energy)
        native_net = native_net_for(energy, kernel, x)
    if native_net is not None:
        steps = _native_segments(native_net, cast(NativeKernel, kernel), x, numbers, step_index, temperatures, keep)
    else:
        steps = _stepped(energy, kernel, x, numbers, step_index, temperatures, record)
    return _collected(steps, x.detach(), keep, record, progress)


class _Stretch(NamedTuple):
    """Where chains are after `n_steps`, and what the steps since the last stretch saw."""

    n_steps: int
    x: Tensor
    last: StepInfo
    trace: Trace | None  # of the stretch, (steps, B)


def _collected(
    stretches: Iterator[_Stretch],
    x: Tensor,
    keep: Collection[int],
    record: bool,
    progress: Callable[[int], None] | None,
) -> Chain:
    kept = [x] if 0 in keep else []
    rows: list[Trace] = []
    info, done = None, 0
    for stretch in stretches:
        x, info = stretch.x, stretch.last
        if stretch.n_steps in keep:
            kept.append(x)
        if record and stretch.trace is not None:
            rows.append(stretch.trace)
        if progress is not None:
            for i in range(done, stretch.n_steps):
                progress(i + 1)
        done = stretch.n_steps
    return Chain(
        x,
        info,
        torch.stack(kept) if kept else None,
        Trace(*map(torch.cat, zip(*rows, strict=True))) if rows else None,
    )


def _stepped(
    energy: Energy,
    kernel: Kernel,
    x: Tensor,
    numbers: ChainRng,
    step_index: Tensor | None,
    temperatures: Sequence[float] | None,
    record: bool,
) -> Iterator[_Stretch]:
    """One step after the other: any energy, any kernel, any device."""
    begin = kernel.init(energy, x, step_index)
    if temperatures is None and graphed(energy, kernel, begin, len(numbers.steps)):
        steps = replay(energy, kernel, begin, numbers)
    else:
        steps = _one_by_one(energy, kernel, begin, numbers, temperatures)
    for i, (state, info) in enumerate(steps):
        yield _Stretch(i + 1, state.x, info, _trace_row(info) if record else None)


def _one_by_one(
    energy: Energy,
    kernel: Kernel,
    state: ChainState,
    numbers: ChainRng,
    temperatures: Sequence[float] | None,
) -> Iterator[tuple[ChainState, StepInfo]]:
    for i, rng in enumerate(numbers):
        # A kernel is a frozen dataclass, so a new temperature is a new kernel.
        now = kernel if temperatures is None else _at_temperature(kernel, temperatures[i])
        state, info = now.step(energy, state, rng)
        yield state, info


def _native_segments(
    native_net: NativeNet,
    kernel: NativeKernel,
    x: Tensor,
    numbers: ChainRng,
    step_index: Tensor | None,
    temperatures: Sequence[float] | None,
    keep: Collection[int],
) -> Iterator[_Stretch]:
    """The same steps in C++, many at a time."""
    for done, w in run_native(
        native_net, kernel, x, numbers, step_index=step_index, temperatures=temperatures, stops=list(keep)
    ):
        drift_grad = clip_grad(w.grad, kernel.clip, kernel.clip_norm)
        info = StepInfo(w.energy[-1], w.grad, drift_grad, w.before, w.x)
        trace = Trace(w.energy, w.grad_norm, w.share_clipped, w.displacement, torch.ones_like(w.energy))
        yield _Stretch(done, w.x, info, trace)


def sample(
    energy: Energy,
    n: int,
    *,
    rng: AnyRng,
    kernel: Kernel | None = None,
    n_steps: int | None = None,
    shape: tuple[int, ...] = (1, 28, 28),
    batch_size: int = 256,
    begin: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw `n` samples, (n, *shape), by chains of `n_steps` from uniform noise.

    Args:
        energy: (B, *shape) -> (B,).
        n: how many, ≥ 1.
        rng: its device is where the chains run. The first images are the same however many are drawn.
        kernel: if not given, the energy's own sampler, which a loaded one has, or else `Langevin()`.
        n_steps: length of each chain; if not given, the own sampler's, a kernel's cycle, or else 256.
        shape: of one sample.
        batch_size: chains run at a time; it bounds the memory, and changes no image.
        begin: the number of the first image: those from `begin` on, of the many that `rng` stands for.
        progress: called with the number of steps done so far, of n_steps × ⌈n / batch_size⌉ in all.

    Raises:
        BadInput: n or batch_size below 1; a chain that ends in the middle of a cycle.
    """
    if not (isinstance(n, int) and isinstance(batch_size, int)) or n < 1 or batch_size < 1:
        raise BadInput(f"n and batch_size must be ≥ 1 and whole, not {n} and {batch_size}")
    own = energy if isinstance(energy, Samplable) else None
    if kernel is None:
        kernel, own_steps = own.sampler(None, n_steps) if own is not None else Sampler(Langevin(), 256)
        n_steps = own_steps if n_steps is None else n_steps
    elif n_steps is None:
        n_steps = cycle_of(kernel) if cycle_of(kernel) > 1 else 256
    check_whole_cycles(kernel, n_steps)
    rng = Rng.of(rng)
    first, noise = rng.stream(), rng.stream()
    parts: list[Tensor] = []
    for start in range(begin, begin + n, batch_size):
        chains = torch.arange(start, min(start + batch_size, begin + n), dtype=torch.int64, device=rng.device)
        x = first.uniform(chains, 0, shape)
        done = n_steps * len(parts)
        tell = None if progress is None else (lambda i, done=done: progress(done + i))
        x = run_chain(energy, kernel, x, n_steps, rng=noise, chains=chains, progress=tell).x
        parts.append(samples_of(energy, kernel, x))
    return torch.cat(parts)


def samples_from(energy: Energy, kernel: Kernel, x: Tensor, step_index: Tensor, *, rng: AnyRng) -> Tensor:
    """Run each chain at `x`, (B, *shape), from step `step_index`, (B,), to the end of its annealing cycle: samples."""
    cycle = cycle_of(kernel)
    # A chain that has done no step is no sample yet.
    x, left = x.clone(), torch.where(step_index > 0, -step_index % cycle, cycle if cycle > 1 else 0)
    noise, chains = Rng.of(rng).stream(), torch.arange(len(x), dtype=torch.int64, device=x.device)
    for n_steps in sorted(set(left.tolist())):
        at = left == n_steps
        x[at] = run_chain(energy, kernel, x[at], n_steps, rng=noise, chains=chains[at], step_index=step_index[at]).x
    return samples_of(energy, kernel, x)


def _at_temperature(kernel: Kernel, temperature: float) -> Kernel:
    return cast(Kernel, replace(cast(Any, kernel), temperature=temperature))


def _trace_row(info: StepInfo) -> Trace:
    accepted = torch.ones_like(info.energy) if info.accepted is None else info.accepted.float()
    return Trace(*(row[None] for row in (info.energy, info.grad_norm, info.share_clipped, info.displacement, accepted)))
