"""Saliency: −∇E says of each pixel of a corrupted digit whether the energy wants it lighter or darker."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.corruptions import CORRUPTIONS
from ebmnist.energies.base import Energy
from ebmnist.inference.scoring import energies_and_grads
from ebmnist.random import AnyRng

KINDS = ("noise", "blur", "overlaid", "chimera", "half_size")


class Saliency(NamedTuple):
    """Corrupted images, −∇E at each, and whether it leads back to the clean one."""

    images: Tensor  # (N, 1, 28, 28)
    descent: Tensor  # (N, 1, 28, 28): −∇E
    agreement: Tensor  # (N,): cosine of −∇E and clean − corrupted, in [−1, 1]


def saliency(energy: Energy, clean: Tensor, kind: str, rng: AnyRng) -> Saliency:
    """Corrupt clean images (N, 1, 28, 28) by a kind of `CORRUPTIONS`, and look downhill from there.

    Raises:
        Unmeasurable: an energy or a gradient is NaN or infinite.
    """
    images = CORRUPTIONS[kind](clean, rng)
    descent = -energies_and_grads(energy, images, kind)[1]
    way_back = (clean - images).flatten(1).double()
    return Saliency(images, descent, torch.cosine_similarity(descent.flatten(1).double(), way_back))
