"""How images are drawn from a trained energy, for pictures and for metrics."""

from dataclasses import dataclass

from ebmnist.errors import BadInput
from ebmnist.sampling import SAMPLERS, Kernel, Sampler, check_whole_cycles, cycle_of

OF_TRAINING = "training"  # the name of the sampler that is the kernel of training


@dataclass(frozen=True)
class Generation:
    """How images are drawn once the energy is trained.

    Raises:
        BadInput: a field out of its range.
    """

    sampler: str | None = None
    """A sampler for energies trained at all noise levels: ancestral, heun or dpm_solver; null for the kernel of
    `sampling`."""
    n_steps: int = 256
    """Steps of each chain from uniform noise, ≥ 1."""
    n_hold: int = 5
    """Of the steps of `sampler`, those that hold the largest noise level, the first included: ≥ 1. At most a quarter of
    its steps are taken for it."""
    n_images: int = 100
    """Images in the pictures, ≥ 10."""

    def __post_init__(self) -> None:
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise BadInput(f"evaluation.sampler {self.sampler!r} is unknown: use {', '.join(SAMPLERS)} or null")
        if self.n_steps < 1 or self.n_images < 10:
            raise BadInput("evaluation: n_steps must be ≥ 1 and n_images ≥ 10")
        if self.n_hold < 1:
            raise BadInput(f"evaluation.n_hold must be ≥ 1, not {self.n_hold}")

    def sampler_of(self, kernel: Kernel, name: str | None = None, n_steps: int | None = None) -> Sampler:
        """How samples of an energy are drawn that was trained with `kernel`.

        Args:
            kernel: the one of training.
            name: one of `sampling.SAMPLERS`, or `OF_TRAINING` for `kernel` itself; by default what `sampler` says.
            n_steps: by default `n_steps` if the sampler is the default one, 64 with another, two cycles with `kernel`.

        Raises:
            BadInput: no such sampler; too few steps for it; an energy that it cannot serve; steps that end within an
                annealing cycle.
        """
        own = self.sampler or OF_TRAINING
        name = name or own
        if name == OF_TRAINING:
            default = self.n_steps if own == OF_TRAINING else 2 * cycle_of(kernel)
            n_steps = default if n_steps is None else n_steps
            check_whole_cycles(kernel, n_steps)
            return Sampler(kernel, n_steps)
        if name not in SAMPLERS:
            raise BadInput(f"sampler {name!r} is unknown: use {', '.join(SAMPLERS)} or {OF_TRAINING}")
        default = self.n_steps if name == own else 64
        made = SAMPLERS[name].of(kernel, default if n_steps is None else n_steps, self.n_hold)
        return Sampler(made, made.cycle)
