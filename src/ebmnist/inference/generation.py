"""How images are drawn from a trained energy, for pictures and for metrics."""

from dataclasses import dataclass

from ebmnist.errors import BadInput


@dataclass(frozen=True)
class Generation:
    """How images are drawn once the energy is trained.

    Raises:
        BadInput: a field out of its range.
    """

    n_steps: int = 256
    """Length of the chains from uniform noise, ≥ 1."""
    n_images: int = 100
    """Images in the pictures, ≥ 10."""

    def __post_init__(self) -> None:
        if self.n_steps < 1 or self.n_images < 10:
            raise BadInput("evaluation: n_steps must be ≥ 1 and n_images ≥ 10")
