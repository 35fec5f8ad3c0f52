"""Energies that are told a noise level, E(x, σ) = −log p_σ(x): what others ask of them."""

from functools import partial
from typing import Any, Protocol, cast

from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.errors import BadInput


class NoiseConditioned(Protocol):
    """An energy that is told the noise level: E(x, σ) = −log p_σ(x), of data with Gaussian noise σ."""

    @property
    def levels(self) -> tuple[float, float]:
        """The least and the most noise that it is told, in pixels."""
        ...

    def __call__(self, x: Tensor, sigma: Tensor | None = None, /) -> Tensor:
        """Return E(x, σ), (B, *shape) and (B,) -> (B,); of the least noise where no σ is given."""
        ...


def levels_of(energy: object) -> tuple[float, float] | None:
    """Return the `levels` of an energy that is told them (`NoiseConditioned`); None for one that is told nothing."""
    return cast(tuple[float, float] | None, getattr(energy, "levels", None))


def check_sigma(sigma: Tensor, x: Tensor, levels: tuple[float, float] | None) -> None:
    """Check that σ, (B,), is what an energy of `levels` takes with images `x`, (B, *shape).

    Raises:
        BadInput: an energy that is told nothing, another shape, or a value out of its range.
    """
    if levels is None:
        raise BadInput("E(x, σ): this energy is not told the noise level; give x alone")
    if sigma.shape != x.shape[:1]:
        raise BadInput(f"E(x, σ): σ must be {tuple(x.shape[:1])}, one for each image, not {tuple(sigma.shape)}")
    if not ((sigma >= levels[0] * (1 - 1e-6)) & (sigma <= levels[1] * (1 + 1e-6))).all():
        span = f"{float(sigma.min()):.4g} to {float(sigma.max()):.4g}"
        raise BadInput(f"E(x, σ): σ must be from {levels[0]:g} to {levels[1]:g}, what was trained, not {span}")


def at_level(energy: Energy, sigma: Tensor) -> Energy:
    """Return x ↦ (σ/σ_min)²·E(x, σ), with σ of each image, (B,); the energy itself if it is told nothing.

    Whatever σ, the mean of images x given a noisy y is then y − σ_min²∇E(y): Tweedie's formula as chains use it.
    σ outside of what the energy is told counts as the nearest that is not.
    """
    if (levels := levels_of(energy)) is None:
        return energy
    return partial(_scaled, energy, sigma.clamp(*levels), levels[0])


def _scaled(energy: Any, sigma: Tensor, sigma_min: float, x: Tensor) -> Tensor:
    value: Tensor = energy(x, sigma.to(x.dtype))
    return (sigma / sigma_min).square() * value
