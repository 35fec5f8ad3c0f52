"""Gradient clipping: the bound on how far one step may carry a chain."""

from torch import Tensor


def clip_grad(grad: Tensor, clip: float | None, clip_norm: float | None) -> Tensor:
    """Bound each component of `grad`, (B, *shape), by ±`clip`, then each sample's ‖·‖₂ by `clip_norm`.

    None leaves that bound out. Clipping element by element keeps signs and changes the direction; clipping by norm
    keeps the direction. Either way the drift is no longer ∇E, so the chain's law is no longer exactly exp(−E/T).
    """
    if clip is not None:
        grad = grad.clamp(-clip, clip)
    if clip_norm is not None:
        norm = grad.flatten(1).norm(dim=1).clamp_min(clip_norm)
        grad = grad * (clip_norm / norm).view(-1, *[1] * (grad.dim() - 1))
    return grad
