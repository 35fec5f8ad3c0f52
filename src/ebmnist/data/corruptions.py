"""Images that are nearly, or not at all, from p_data: what an energy should find less likely than the data.

Each corruption maps images (N, 1, 28, 28) in [0, 1] and an rng to as many images in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from ebmnist.errors import BadInput
from ebmnist.random import AnyRng, Rng


def add_noise(images: Tensor, sigma: float, rng: AnyRng) -> Tensor:
    """Return x + σξ, ξ ~ N(0, I), of any shape; not clamped: the noise stays Gaussian (for denoising)."""
    return images + sigma * Rng.of(rng).normal(tuple(images.shape)).to(images)


def noise(images: Tensor, rng: AnyRng) -> Tensor:
    """Return images with Gaussian noise of σ = 0.1, clamped to [0, 1]."""
    return add_noise(images, 0.1, rng).clamp_(0, 1)


def blur(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return images blurred by a Gaussian of σ = 1 pixel, cut off at 3σ; edges are repeated outwards."""
    weights = torch.exp(-0.5 * torch.arange(-3, 4, dtype=images.dtype, device=images.device) ** 2)
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights)[None, None]  # (1, 1, 7, 7)
    # Weights that sum to one up to rounding can leave [0, 1] by as much.
    return conv2d(pad(images, (3, 3, 3, 3), mode="replicate"), kernel).clamp_(0, 1)


def inverted(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return 1 − x: black ink on white."""
    return 1 - images


def hflip(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return images mirrored left to right."""
    return images.flip(-1)


def vflip(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return images mirrored top to bottom."""
    return images.flip(-2)


def rot90(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return images turned by 90 degrees counter-clockwise."""
    return images.rot90(1, (-2, -1))


def pixel_permuted(images: Tensor, rng: AnyRng) -> Tensor:
    """Return images whose 784 pixels are shuffled by one permutation, drawn once for all of them."""
    order = Rng.of(rng).permutation(images[0].numel()).to(images.device)
    return images.flatten(1)[:, order].view_as(images)


def half_size(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return images shrunk to 14x14 by 2x2 averages, in the middle of a black 28x28."""
    return pad(avg_pool2d(images, 2), (7, 7, 7, 7))


def overlaid(images: Tensor, rng: AnyRng) -> Tensor:
    """Return each image with another one on top: max(x, x'). Raises: BadInput for fewer than two images."""
    return torch.maximum(images, images[_others(images, rng)])


def chimera(images: Tensor, rng: AnyRng) -> Tensor:
    """Return each one's left half beside another's right half. Raises: BadInput for fewer than two images."""
    return torch.cat([images[..., :14], images[_others(images, rng)][..., 14:]], dim=-1)


def binarised(images: Tensor, _: AnyRng | None = None) -> Tensor:
    """Return 1 where x > 1/2, else 0."""
    return (images > 0.5).to(images.dtype)


def uniform_noise(n: int, rng: AnyRng) -> Tensor:
    """Return n images, (n, 1, 28, 28), whose pixels are independent U[0, 1], on the rng's device."""
    return Rng.of(rng).uniform((n, 1, 28, 28))


def constant(n: int, rng: AnyRng) -> Tensor:
    """Return n images, (n, 1, 28, 28), each of one grey level drawn from U[0, 1], on the rng's device."""
    return Rng.of(rng).uniform((n, 1, 1, 1)).expand(n, 1, 28, 28).contiguous()


def black(n: int) -> Tensor:
    """Return n images of zeros, (n, 1, 28, 28)."""
    return torch.zeros(n, 1, 28, 28)


def _others(images: Tensor, rng: AnyRng) -> Tensor:
    """Return for each image the index of another, never its own: its successor in a random cycle, (N,)."""
    if len(images) < 2:
        raise BadInput(f"{len(images)} image(s) cannot be paired with one another: pass at least two")
    cycle = Rng.of(rng).permutation(len(images)).to(images.device)
    return torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(-1))


CORRUPTIONS: dict[str, Callable[[Tensor, AnyRng], Tensor]] = {
    "noise": noise,
    "blur": blur,
    "inverted": inverted,
    "hflip": hflip,
    "vflip": vflip,
    "rot90": rot90,
    "pixel_permuted": pixel_permuted,
    "half_size": half_size,
    "overlaid": overlaid,
    "chimera": chimera,
    "binarised": binarised,
}
