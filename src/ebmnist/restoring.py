"""What a trained energy makes of damaged images: it denoises them, tells their noise level, and fills their gaps."""

from collections.abc import Callable

from torch import Tensor

from ebmnist.energies.border import check_form
from ebmnist.energies.levels import levels_of
from ebmnist.errors import BadInput
from ebmnist.inference.denoisers import check_denoiser, denoiser_of
from ebmnist.inference.denoising import Fitted, fit_denoiser
from ebmnist.inference.inpainting import inpaint
from ebmnist.inference.noise_level import noise_level
from ebmnist.inference.operators import Mask
from ebmnist.inference.posterior import N_STEPS
from ebmnist.random import AnyRng
from ebmnist.sampling.base import is_denoiser
from ebmnist.sampling.samples import boxed
from ebmnist.trained import Trained

N_REFERENCE = 200  # images that say how to denoise


def fitted_denoiser(model: Trained, sigma: float, rng: AnyRng, reference: Tensor | None = None) -> Fitted:
    """Return what cleans images of noise σ best, fitted on 200 reference images (`inference.denoising`).

    By default they are validation images of the model's recipe.

    Raises:
        BadInput: data that cannot be read.
    """
    images = model.recipe.load_data().validation.images if reference is None else reference
    return fit_denoiser(model.energy, model.kernel, images[:N_REFERENCE].to(model.device), sigma, rng=rng)


def denoised(model: Trained, y: Tensor, sigma: float | None, rng: AnyRng, reference: Tensor | None = None) -> Tensor:
    """Clean images `y` of noise σ, (B, 1, 28, 28), by `fitted_denoiser`; σ is estimated if it is not given.

    Raises:
        BadInput: σ is to be estimated, and is not to be had of these images or of this energy.
    """
    known = common_noise_level(model, y, rng) if sigma is None else sigma
    return fitted_denoiser(model, known, rng, reference).clean(y)


def denoised_once(model: Trained, y: Tensor, sigma: float | None = None) -> Tensor:
    """Clean images `y`, (B, 1, 28, 28), by one gradient, y − ∇E(y)/κ (Tweedie's formula).

    Only an energy that is told the noise needs its σ.

    Raises:
        BadInput: the energy was trained at one temperature, or needs σ.
    """
    check_denoiser(model.kernel)
    if sigma is None and levels_of(model.energy) is not None:
        raise BadInput("sigma: this energy is told the noise level; give sigma")
    told = y.new_full((len(y),), 1.0 if sigma is None else sigma)
    return boxed(model.kernel, denoiser_of(model.energy, model.kernel)(y, told))


def common_noise_level(model: Trained, y: Tensor, rng: AnyRng) -> float:
    """Estimate the σ that images y, (B, 1, 28, 28), have in common: the root mean square of `noise_level`'s.

    Raises:
        BadInput: the energy was trained at one temperature, is told the noise, or finds none.
    """
    check_denoiser(model.kernel)
    return float(noise_level(denoiser_of(model.energy, model.kernel), y, rng=rng).square().mean().sqrt())


def inpainting_steps(model: Trained) -> int:
    """Steps that fill hidden pixels: 25 for an energy of all noise levels, else those of a sample."""
    return N_STEPS if is_denoiser(model.kernel) else model.n_steps


def inpainted(
    model: Trained,
    y: Tensor,
    mask: Tensor,
    *,
    rng: AnyRng,
    n_samples: int = 1,
    n_steps: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw the pixels where `mask` is False, (B, 1, 28, 28) -> (n_samples, B, 1, 28, 28) (`inference.inpainting`).

    Raises:
        BadInput: images of another form, type or scale; a mask that is not bool; too few steps.
    """
    check_form(y, list(model.parameters()))
    model.checked(Mask(mask).forward(y))
    steps = inpainting_steps(model) if n_steps is None else n_steps
    return inpaint(model, model.kernel, y, mask, steps, rng=rng, n_samples=n_samples, progress=progress)
