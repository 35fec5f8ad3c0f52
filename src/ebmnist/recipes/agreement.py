"""What the sections of a recipe ask of one another."""

from ebmnist.energies.base import Energy
from ebmnist.energies.levels import levels_of
from ebmnist.errors import BadInput
from ebmnist.sampling import NoiseSchedule
from ebmnist.sampling.base import Kernel
from ebmnist.training.base import DenoisingObjective, Objective


def check_agreement(energy: Energy, kernel: Kernel, objective: Objective | DenoisingObjective) -> None:
    """Check that the parts of a recipe go together.

    Raises:
        BadInput: they do not.
    """
    if getattr(objective, "sigma_weighting", 0) and not isinstance(kernel, NoiseSchedule):
        raise BadInput("training.objective.sigma_weighting needs a noise schedule: sampling.kind annealed_langevin")
    if isinstance(objective, DenoisingObjective):
        _check_denoising(energy, kernel)


def _check_denoising(energy: Energy, kernel: Kernel) -> None:
    """Check an energy in nats, −log p_σ(x), and a kernel for it: T = 1, so that κ = 1/σ_min²."""
    if (levels := levels_of(energy)) is None:
        raise BadInput("training.objective: this one needs an energy that is told the noise level: energy.kind unet")
    fits = isinstance(kernel, NoiseSchedule) and abs(kernel.curvature * levels[0] ** 2 - 1) < 1e-3
    if not (fits and kernel.temperature == 1):
        raise BadInput(
            "sampling: an energy in nats needs kind annealed_langevin with temperature 1 "
            f"and sigma_min {levels[0]:g}, the energy's own"
        )
