"""E and ∇E of many images, batch by batch with frozen weights, or a refusal where they are not numbers."""

import torch
from torch import Tensor

from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.freezing import frozen
from ebmnist.errors import Unmeasurable

BATCH_SIZE = 500  # bounds the memory of the activations


@torch.no_grad()
def energies(energy: Energy, images: Tensor, name: str) -> Tensor:
    """Return E(x), (N, *shape) -> (N,).

    Raises:
        Unmeasurable: an energy is NaN or infinite; `name` is what the message calls the images.
    """
    energy = frozen(energy)
    return _finite(torch.cat([energy(x) for x in torch.split(images, BATCH_SIZE)]), name)


def energies_and_grads(energy: Energy, images: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return E(x), (N,), and ∂E/∂x, (N, *shape).

    Raises:
        Unmeasurable: an energy or a gradient is NaN or infinite; `name` is what the message calls the images.
    """
    energy = frozen(energy)
    parts = [energy_and_grad(energy, x) for x in torch.split(images, BATCH_SIZE)]
    values, grads = (torch.cat(part) for part in zip(*parts, strict=True))
    return _finite(values, name), _finite(grads, f"{name}, by its gradient,")


def p_values(energies: Tensor, reference: Tensor) -> Tensor:
    """Return how often an image like the reference has so high an energy, (N,), (M,) -> (N,), in (0, 1].

    A conformal p-value, (1 + #{reference ≥ energy}) / (1 + M). For an image drawn like the M reference images, which
    training has not seen, P(p ≤ α) ≤ α whatever the energy (Vovk et al. 2005; Bates et al. 2023). So whoever
    calls an image with p ≤ α an outlier errs on the share α of such images at most.

    Args:
        energies: of the images in question.
        reference: energies of M images that are known to be normal, M ≥ 1.

    >>> p_values(torch.tensor([0.0, 2.5, 9.0]), torch.tensor([1.0, 2.0, 3.0])).tolist()
    [1.0, 0.5, 0.25]
    """
    order = reference.double().sort().values
    above = len(order) - torch.searchsorted(order, energies.double().contiguous())
    return (1 + above).double() / (1 + len(order))


def _finite(values: Tensor, name: str) -> Tensor:
    invalid = ~torch.isfinite(values).flatten(1).all(1) if values.ndim > 1 else ~torch.isfinite(values)
    if invalid.any():
        raise Unmeasurable(f"the energy of {int(invalid.sum())} of {len(values)} images of {name} is NaN or infinite")
    return values
