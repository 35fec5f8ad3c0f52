"""Paths between images: the straight line, the same line relaxed by the string method, and the barrier on either."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, per_sample
from ebmnist.energies.freezing import frozen
from ebmnist.errors import Unmeasurable
from ebmnist.inference.descent import at_zero_temperature
from ebmnist.random import Purpose, StepRng, Stream
from ebmnist.sampling.base import ChainState, Kernel

# Of the kernel's step size. Among 0.1, 0.25, 0.5, 1 and 2 it left the lowest barriers between validation digits.
STEP_SCALE = 2.0


class ImagePath(NamedTuple):
    """B paths of P images each, with the energy of every image."""

    images: Tensor  # (B, P, *shape)
    energies: Tensor  # (B, P)


def straight_line(a: Tensor, b: Tensor, n_points: int) -> Tensor:
    """Return (1 − t)a + tb at `n_points` even t from 0 to 1, (B, *shape) twice -> (B, n_points, *shape)."""
    t = torch.linspace(0, 1, n_points, device=a.device).view(1, -1, *[1] * (a.ndim - 1))
    return torch.lerp(a[:, None], b[:, None], t.to(a.dtype))


def barrier(energies: Tensor) -> Tensor:
    """Return how far a path climbs above the higher of its ends, max E − max(E₀, E₁) ≥ 0, (B, P) -> (B,)."""
    return energies.amax(1) - torch.maximum(energies[:, 0], energies[:, -1])


def refined(images: Tensor, n_parts: int = 4) -> Tensor:
    """Return the paths with each segment parted in `n_parts`, (B, P, *shape) -> (B, (P − 1)·n_parts + 1, *shape).

    Steps of the string can jump over a ridge that is thinner than they are; what they jumped over shows here.
    """
    t = torch.arange(n_parts, device=images.device).to(images.dtype) / n_parts
    t = t.view(1, 1, -1, *[1] * (images.ndim - 2))
    inner = torch.lerp(images[:, :-1, None], images[:, 1:, None], t).flatten(1, 2)
    return torch.cat([inner, images[:, -1:]], dim=1)


def relax(energy: Energy, kernel: Kernel, line: Tensor, n_sweeps: int, *, step_scale: float = STEP_SCALE) -> ImagePath:
    """Return for each of the paths `line`, (B, P, *shape), the one of lowest barrier seen while it was relaxed.

    The simplified string method (E, Ren and Vanden-Eijnden 2007, sec. III): every image but the ends takes a step of
    the kernel at T = 0, its step size scaled, then the images are spread evenly along the path again. As `line` itself
    is seen first, no barrier over the P images rises; each is an upper bound of the lowest there is, but for what
    lies between them (`refined`).

    Raises:
        Unmeasurable: an energy on the way is NaN or infinite.
    """
    descent = replace(at_zero_temperature(kernel, step_scale), clamp_margin=0.0)  # its images are images, not chains
    rng = StepRng(Stream(0, Purpose.EVALUATION), 0, line.device)  # at T = 0 nothing is drawn from it
    images, best = line, None
    energy = frozen(energy)
    for _ in range(n_sweeps + 1):
        after, info = descent.step(energy, ChainState(images.flatten(0, 1)), rng)
        now = ImagePath(images, info.energy.view(images.shape[:2]))
        if not torch.isfinite(now.energies).all():
            raise Unmeasurable("an energy on a path between digits is NaN or infinite")
        best = now if best is None else _lower(best, now)
        moved = after.x.view_as(images)
        images = _spread_evenly(torch.cat([line[:, :1], moved[:, 1:-1], line[:, -1:]], dim=1))
    assert best is not None
    return best


def _lower(a: ImagePath, b: ImagePath) -> ImagePath:
    """Take of each pair of paths the one of lower barrier, the first where they are equal."""
    better = barrier(b.energies) < barrier(a.energies)
    rows = per_sample(better, a.images)
    return ImagePath(torch.where(rows, b.images, a.images), torch.where(better[:, None], b.energies, a.energies))


def _spread_evenly(images: Tensor) -> Tensor:
    """Move the inner images along the piecewise straight path until all are equally far apart along it."""
    x = images.flatten(2)
    length = x.diff(dim=1).norm(dim=2).cumsum(1)
    length = torch.cat([torch.zeros_like(length[:, :1]), length], dim=1)  # (B, P), from 0
    aim = length[:, -1:] * torch.linspace(0, 1, x.shape[1], device=x.device)
    # The segment each aim lies on, and how far along it.
    end = torch.searchsorted(length, aim, right=True).clamp(1, x.shape[1] - 1)
    before, after = length.gather(1, end - 1), length.gather(1, end)
    # Ends that are the same image make segments of no length, along which nothing moves.
    t = ((aim - before) / (after - before).clamp_min(torch.finfo(x.dtype).tiny)).clamp(0, 1)
    start, stop = (x.gather(1, i[..., None].expand_as(x)) for i in (end - 1, end))
    even = torch.lerp(start, stop, t[..., None]).view_as(images)
    return torch.cat([images[:, :1], even[:, 1:-1], images[:, -1:]], dim=1)  # the ends to the bit
