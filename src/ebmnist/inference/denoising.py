"""How an energy denoises best: an iterated denoiser, or a descent, each fitted on validation images."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.freezing import frozen
from ebmnist.inference.denoisers import denoiser_of
from ebmnist.inference.descent import choose_stop, denoise, within
from ebmnist.inference.iterated import fit_iterated
from ebmnist.random import AnyRng
from ebmnist.sampling.base import Kernel, is_denoiser
from ebmnist.sampling.samples import boxed


class Fitted(NamedTuple):
    """How images of one noise level are cleaned, and in words what was fitted."""

    clean: Callable[[Tensor], Tensor]  # (B, *shape) -> (B, *shape), in the kernel's box
    words: str


def fit_denoiser(energy: Energy, kernel: Kernel, reference: Tensor, sigma: float, *, rng: AnyRng) -> Fitted:
    """Return what cleans images with Gaussian noise of `sigma` best: of an energy of all noise levels, `Iterated`.

    An energy of one temperature is descended, and `reference` says where to stop.

    Args:
        energy: (B, *shape) -> (B,).
        kernel: what it was trained with.
        reference: clean images that training has not seen, (M, *shape).
        sigma: > 0, in pixels.
        rng: of the noise on the reference.

    Raises:
        BadInput, Unmeasurable: the energy leaves NaN images.
    """
    energy = frozen(energy)
    if is_denoiser(kernel):
        iterated = fit_iterated(denoiser_of(energy, kernel), reference, sigma, rng=rng)
        weights = ", ".join(f"{weight:.2f}" for weight in iterated.weights)
        return Fitted(lambda y: boxed(kernel, iterated(within(kernel, y))), f"weights {weights}")
    stop = choose_stop(energy, kernel, reference, sigma, rng=rng)
    return Fitted(lambda y: denoise(energy, kernel, y, stop.n_steps, rng=rng), f"{stop.n_steps} steps")
