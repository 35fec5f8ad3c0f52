"""Energy descent from a noisy image, stopped where validation images say: the way this project denoises."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ebmnist.data.corruptions import add_noise
from ebmnist.energies.base import Energy
from ebmnist.errors import BadInput
from ebmnist.inference.image_quality import psnr
from ebmnist.random import AnyRng
from ebmnist.sampling.base import Kernel
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.samples import box_of, boxed, clamp_margin_of

STOPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


class Stop(NamedTuple):
    """Where a descent ends: after `n_steps` steps of `step_scale` times the kernel's step size."""

    n_steps: int
    step_scale: float = 1.0


def denoise(energy: Energy, kernel: Kernel, y: Tensor, n_steps: int, *, rng: AnyRng, step_scale: float = 1.0) -> Tensor:
    """Return where gradient descent on the energy from `y` is after `n_steps`, an image, (B, *shape).

    It goes from `y` clamped to where the kernel's chains may stand: an energy knows no other images.
    """
    return boxed(
        kernel, run_chain(energy, at_zero_temperature(kernel, step_scale), within(kernel, y), n_steps, rng=rng).x
    )


def choose_stop(
    energy: Energy,
    kernel: Kernel,
    clean: Tensor,
    sigma: float,
    *,
    rng: AnyRng,
    stops: Sequence[int] = STOPS,
    step_scales: Sequence[float] = (1.0,),
) -> Stop:
    """Return the stop with the best mean PSNR on `clean`, validation images (B, *shape), noised at σ.

    One descent per step scale, looked at on its way; a stop whose PSNR is NaN is never chosen.

    Raises:
        BadInput: no stop leaves finite images.
    """
    y = within(kernel, add_noise(clean, sigma, rng))
    scores: dict[Stop, float] = {}
    for scale in step_scales:
        x, done = y, 0
        for n_steps in sorted(stops):
            x, done = run_chain(energy, at_zero_temperature(kernel, scale), x, n_steps - done, rng=rng).x, n_steps
            scores[Stop(n_steps, scale)] = float(psnr(boxed(kernel, x), clean).mean())
    finite = {stop: score for stop, score in scores.items() if score == score}
    if not finite:
        raise BadInput("descent leaves NaN images at every stop; the energy has diverged")
    return max(finite, key=lambda stop: finite[stop])


def at_zero_temperature(kernel: Kernel, step_scale: float = 1.0) -> Langevin:
    """Return the descent that takes the kernel's steps, whichever kernel it is, scaled and at T = 0."""
    scaled = step_scale * kernel.step_size
    return Langevin(scaled, 0.0, kernel.clip, kernel.clip_norm, kernel.clamp, clamp_margin_of(kernel))


def within(kernel: Kernel, y: Tensor) -> Tensor:
    """Clamp images (B, *shape) to where the kernel's chains may stand."""
    box = box_of(kernel)
    return y if box is None else y.clamp(*box)
