"""How noisy an image is: an estimate of σ from the energy's denoiser, without a clean image."""

from torch import Tensor

from ebmnist.energies.levels import levels_of
from ebmnist.errors import BadInput
from ebmnist.inference.denoisers import EnergyDenoiser
from ebmnist.random import AnyRng, Rng

LENGTH = 0.1  # of the finite difference, in units of the residual's norm


def noise_level(denoiser: EnergyDenoiser, y: Tensor, *, rng: AnyRng) -> Tensor:
    """Return σ̂ of each image, (B, *shape) -> (B,): σ̂² = ‖y − D(y)‖² / (d − div D(y)). Cost: two gradients.

    Of y = x + σξ and D(y) = E[x | y], E‖x − D‖² = σ² E div D (Efron 2011), and the errors x − D are orthogonal to
    functions of y. So E‖y − D‖² = σ² E[d − div D]. The divergence is a Hutchinson (1990) estimate, vᵀJv with v = ±1.

    Raises:
        BadInput: an energy that is told σ; images that D leaves as they are, or a divergence of d or more.
    """
    if levels_of(denoiser.energy) is not None:
        raise BadInput("sigma: this energy is told the noise level, and does not tell it; give sigma")
    unused = y.new_ones(len(y))
    estimate = denoiser(y, unused)
    squares = (y - estimate).flatten(1).square().sum(1)
    if not bool((squares > 0).all()):
        raise BadInput("sigma: the energy finds no noise in an image, so its level cannot be estimated; give sigma")
    probe = Rng.of(rng).normal(tuple(y.shape), y.dtype).sign()
    slope = denoiser.derivative(y, unused, estimate, probe, LENGTH * squares.sqrt())
    left = y[0].numel() - (slope * probe).flatten(1).sum(1)
    if not bool((left > 0).all()):
        raise BadInput("sigma: the energy takes no noise from an image, so its level cannot be estimated; give sigma")
    return (squares / left).sqrt()
