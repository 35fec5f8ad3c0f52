"""What a chain refuses: starts, step_indices, steps and temperatures of another kind or range, each in one line."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.sampling.base import Kernel, NoiseSchedule


def check_start(x: object, step_index: Tensor | None) -> None:
    """Raise `BadInput` unless `x` is floating point, (B, *shape), and `step_index` has a whole number for each."""
    if not isinstance(x, Tensor) or x.dim() < 1 or x.layout != torch.strided or not x.is_floating_point():
        raise BadInput("x: chains start at a dense tensor of floating-point numbers, (B, *shape)")
    if step_index is not None and (step_index.shape, step_index.dtype, step_index.device) != (
        x.shape[:1],
        torch.int64,
        x.device,
    ):
        given = f"{tuple(step_index.shape)} {step_index.dtype} on {step_index.device}"
        raise BadInput(f"step_index: give {len(x)} whole numbers, int64, on {x.device}, not {given}")


def check_steps(kernel: Kernel, n_steps: int, temperatures: Sequence[float] | None, keep: Collection[int]) -> None:
    """Raise `BadInput` for steps, temperatures or kept steps that no chain of this kernel has."""
    if not isinstance(n_steps, int) or n_steps < 0:
        raise BadInput(f"n_steps must be ≥ 0 and whole, not {n_steps}")
    if temperatures is not None and len(temperatures) != n_steps:
        raise BadInput(f"temperatures: {len(temperatures)} of them for {n_steps} steps; give one per step")
    if temperatures is not None and isinstance(kernel, NoiseSchedule):
        raise BadInput("temperatures: this kernel has a schedule of its own")
    if temperatures is not None and not all(0 <= t < float("inf") for t in temperatures):
        raise BadInput("temperatures must be ≥ 0 and finite")
    if any(step not in range(n_steps + 1) for step in keep):
        raise BadInput(f"keep: steps must be from 0, the start, to {n_steps}, not {sorted(keep)}")
