"""What chains stand for: where in a cycle they are samples, how an image is had from them, where they may stand."""

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.freezing import frozen
from ebmnist.energies.levels import at_level
from ebmnist.errors import BadInput
from ebmnist.sampling.base import Kernel, NoiseSchedule, is_denoiser


def samples_of(energy: Energy, kernel: Kernel, x: Tensor) -> Tensor:
    """Return the images that chains at `x`, (B, *shape), stand for: without a cycle's last noise, in the kernel's box.

    Chains with levels of noise end as images with the last one's, whose mean is
    y − ∇E(y)/κ (Tweedie; docs/concepts/annealing.md).
    """
    if is_denoiser(kernel):
        last = kernel.sigma(torch.full((len(x),), -1, device=x.device))
        x = x - energy_and_grad(at_level(frozen(energy), last), x)[1] / kernel.curvature
    return boxed(kernel, x)


def less_noise(kernel: Kernel) -> str:
    """Say in a report what `samples_of` does, after "the end of a chain …"; nothing where it takes no noise away."""
    return ", less the noise that a cycle ends with (y − ∇E(y)/κ)" if is_denoiser(kernel) else ""


def boxed(kernel: Kernel, x: Tensor) -> Tensor:
    """Bring chains, which may leave it by `clamp_margin`, back into the kernel's box."""
    return x if kernel.clamp is None else x.clamp(*kernel.clamp)


def cycle_of(kernel: Kernel) -> int:
    """Steps from one sample to the next along a chain: a kernel's cycle, or 1 where it has none."""
    return kernel.cycle if isinstance(kernel, NoiseSchedule) else 1


def check_whole_cycles(kernel: Kernel, n_steps: int) -> None:
    """Raise `BadInput` if chains of `n_steps` end in the middle of a cycle, where they are no samples."""
    if n_steps % (cycle := cycle_of(kernel)):
        raise BadInput(f"n_steps must be a multiple of the kernel's cycle, {cycle}, not {n_steps}")


def clamp_margin_of(kernel: Kernel) -> float:
    """How far beyond the kernel's clamp its chains may stand, at most, in pixels."""
    if isinstance(kernel, NoiseSchedule):
        return float(kernel.margin(torch.arange(kernel.cycle, device="cpu")).max())
    return float(getattr(kernel, "clamp_margin", 0.0))


def box_of(kernel: Kernel) -> tuple[float, float] | None:
    """The box that the kernel's chains stand in, with the clamp margin; None for the whole space."""
    return (
        None
        if kernel.clamp is None
        else (kernel.clamp[0] - clamp_margin_of(kernel), kernel.clamp[1] + clamp_margin_of(kernel))
    )


def walls_of(kernel: Kernel) -> set[float]:
    """Where the kernel clamps its chains, with the clamp margin: at each noise level of a cycle, on either side."""
    if kernel.clamp is None:
        return set()
    clamp_margins = [clamp_margin_of(kernel)]
    if isinstance(kernel, NoiseSchedule):
        clamp_margins = kernel.margin(torch.arange(kernel.cycle, device="cpu")).tolist()
    return {
        wall
        for clamp_margin in clamp_margins
        for wall in (kernel.clamp[0] - clamp_margin, kernel.clamp[1] + clamp_margin)
    }
