"""Gradient clipping: the bound on how far one step may carry a chain."""

from torch import Tensor

from ebmnist.energies.base import per_sample
from ebmnist.errors import BadInput


def clip_grad(grad: Tensor, clip: float | None, clip_norm: float | None) -> Tensor:
    """Bound each component of `grad`, (B, *shape), by ±`clip`, then each sample's ‖·‖₂ by `clip_norm`.

    None leaves that bound out. Clipping element by element keeps signs and changes the direction; clipping by norm
    keeps the direction. Either way the drift is no longer ∇E, so the chain's law is no longer exactly exp(−E/T).
    """
    if clip is not None:
        grad = grad.clamp(-clip, clip)
    if clip_norm is not None:
        norm = grad.flatten(1).norm(dim=1).clamp_min(clip_norm)
        grad = grad * per_sample(clip_norm / norm, grad)
    return grad


def check_bounds(kernel: str, clip: float | None, clip_norm: float | None, clamp: tuple[float, float] | None) -> None:
    """Check a kernel's bounds on its gradient and its samples. Raises `BadInput` for one out of its range."""
    for name, bound in (("clip", clip), ("clip_norm", clip_norm)):
        if bound is not None and not bound > 0:
            raise BadInput(f"{kernel}: {name} must be > 0, or null for none, not {bound}")
    if clamp is not None and not clamp[0] < clamp[1]:
        raise BadInput(f"{kernel}: clamp must be [low, high] with low < high, not {list(clamp)}")
