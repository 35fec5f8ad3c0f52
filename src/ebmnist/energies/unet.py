"""An energy that is told the noise level, and keeps every pixel: a U-Net that corrects a law of single pixels."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ebmnist.energies.base import per_sample
from ebmnist.energies.layers import Activation, activation_layer, normalised
from ebmnist.errors import BadInput

Scaled = Callable[[Any], Any]  # a layer to the same layer, with or without spectral normalisation
N_KINDS = 3  # of pixels: black, white and grey
N_WAVES = 4  # sines and cosines of log σ, each


class Block(nn.Module):
    """x ↦ (x + conv(φ((1 + a)·conv(φ(x)) + b)))/√2, with a and b linear in what the network is told of σ.

    Source: He et al. 2016 (identity mappings); Perez et al. 2018 for a and b.
    """

    def __init__(self, channels: int, n_told: int, activation: Activation, scaled: Scaled) -> None:
        super().__init__()
        self.act = activation_layer(activation)
        self.first = scaled(nn.Conv2d(channels, channels, 3, padding=1))
        self.second = scaled(nn.Conv2d(channels, channels, 3, padding=1))
        self.level = scaled(nn.Linear(n_told, 2 * channels))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """(B, channels, H, W) and (B, n_told) -> (B, channels, H, W)."""
        a, b = self.level(told)[:, :, None, None].chunk(2, 1)
        return (x + self.second(self.act((1 + a) * self.first(self.act(x)) + b))) * 0.5**0.5


class UNet(nn.Module):
    """E(x, σ) = −Σᵢ log Σₖ wₖ exp(c²aₖᵢ) N(xᵢ + σc·Fᵢ; mₖ, sₖ² + σ²), c² = s²/(s² + σ²): (B, 1, 28, 28) -> (B,).

    i counts pixels, and k kinds of pixels: black, white, grey. The U-Net (Ronneberger et al. 2015) gives F and a, which
    depend on the whole image and on σ. With F = a = 0 the pixels are independent, each with the mixture's law, and E is
    exactly −log p_σ(x) at every σ. The network so learns only what pixels say of one another.
    A dot product with a U-Net's output is due to Salimans & Ho (2021), c to Karras et al. (2022). At `sigma_max` a
    counts nothing, and F little: E is normalised there from the start (docs/concepts/normalised.md).
    Without σ it is E(x, `sigma_min`). No step of it is coarser than 2 × 2 pixels without a way around.

    Args:
        width: channels at 14 × 14 pixels, ≥ 1; at 7 × 7 there are 2 × as many.
        depth: number of blocks at 7 × 7, ≥ 1; at 14 × 14 there are two.
        activation: silu (default), softplus, elu, or leaky_relu; second derivatives are of a smooth one.
        spectral_norm: divide every weight by its largest singular value.
        spectral_gain: then multiply it by this, > 0: the largest singular value that each weight has.
        sigma_min: least noise that it is told, > 0, in pixels on [0, 1].
        sigma_max: most noise that it is told, > `sigma_min`; data are to be nothing beside it.
        data_std: s, the standard deviation of all pixels of the data, > 0.

    Raises:
        BadInput: a field out of its range.
    """

    capturable = True

    def __init__(
        self,
        width: int = 24,
        depth: int = 2,
        activation: Activation = "silu",
        spectral_norm: bool = False,
        spectral_gain: float = 1.0,
        sigma_min: float = 0.01,
        sigma_max: float = 5.0,
        data_std: float = 0.3081,
    ) -> None:
        super().__init__()
        if min(width, depth) < 1:
            raise BadInput(f"unet: width and depth must be ≥ 1, not {width} and {depth}")
        if not (0 < sigma_min < sigma_max < float("inf") and 0 < data_std < float("inf")):
            raise BadInput(
                f"unet: 0 < sigma_min < sigma_max and data_std > 0 are needed, not {sigma_min}, {sigma_max}, {data_std}"
            )
        self.levels, self.data_std = (sigma_min, sigma_max), data_std
        scaled = partial(normalised, spectral=spectral_norm, gain=spectral_gain)
        block = partial(Block, activation=activation, scaled=scaled)
        self.act = activation_layer(activation)
        wide, n_told, n_maps = 2 * width, 2 * width, 1 + N_KINDS
        first, second = nn.Linear(1 + 2 * N_WAVES, n_told), nn.Linear(n_told, n_told)
        self.told = nn.Sequential(scaled(first), self.act, scaled(second), self.act)
        self.stem = scaled(nn.Conv2d(4 * N_KINDS, width, 3, padding=1))
        self.before = block(width, n_told)
        self.down = scaled(nn.Conv2d(width, wide, 3, stride=2, padding=1))
        self.middle = nn.ModuleList(block(wide, n_told) for _ in range(depth))
        # Across the 7 × 7 places, each channel alike (Tolstikhin et al. 2021): all of the image at once.
        self.across = nn.ModuleList(scaled(nn.Linear(49, 49)) for _ in range(depth))
        self.up = scaled(nn.Conv2d(wide, 4 * width, 1))
        self.merge = scaled(nn.Conv2d(2 * width, width, 1))
        self.after = block(width, n_told)
        last, level = nn.Conv2d(width, 4 * n_maps, 3, padding=1), nn.Linear(n_told, 4 * n_maps)
        for p in (*last.parameters(), *level.parameters()):
            p.data *= 0.01  # E begins as that of independent pixels
        self.last, self.level = scaled(last), scaled(level)
        # The mixture, as MNIST's pixels have it; it is learned with the rest.
        self.log_weight = nn.Parameter(torch.tensor([0.81, 0.07, 0.12]).log())
        self.centre = nn.Parameter(torch.tensor([0.0, 0.992, 0.47]))
        self.log_std = nn.Parameter(torch.tensor([0.001, 0.003, 0.29]).log())
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """E(x, σ), for `sigma`, (B,), in [`sigma_min`, `sigma_max`]; of `sigma_min` where it is not given."""
        sigma = x.new_full(x.shape[:1], self.levels[0]) if sigma is None else sigma
        noise, s = per_sample(sigma, x), self.data_std
        share = s**2 / (s**2 + noise.square())  # c²
        kinds = self._log_mixture(x, noise).softmax(1)
        seen = torch.cat([(x - 0.5) * share.sqrt() / s, kinds[:, 1:]], 1)
        maps = self._maps(seen, self._told(sigma))
        shift, logits = maps[:, :1], maps[:, 1:]
        at_most = s**2 / (s**2 + self.levels[1] ** 2)
        mixture = self._log_mixture(x + noise * share.sqrt() * shift, noise) + (share - at_most) * logits
        return -mixture.logsumexp(1).flatten(1).sum(1)

    def _log_mixture(self, x: Tensor, noise: Tensor) -> Tensor:
        """log wₖ N(xᵢ; mₖ, sₖ² + σ²): (B, 1, 28, 28) -> (B, k, 28, 28)."""
        weight, centre, log_std = (p.view(-1, 1, 1) for p in (self.log_weight, self.centre, self.log_std))
        variance = (2 * log_std).exp() + noise.square()
        return weight.log_softmax(0) - 0.5 * ((x - centre).square() / variance + torch.log(2 * math.pi * variance))

    def _told(self, sigma: Tensor) -> Tensor:
        """What the network is told of σ: (B,) -> (B, n_told)."""
        place = torch.log(sigma / self.levels[0])[:, None] / math.log(self.levels[1] / self.levels[0])
        angles = math.pi * place * torch.arange(1, 1 + N_WAVES, dtype=sigma.dtype, device=sigma.device)
        told: Tensor = self.told(torch.cat([place, angles.sin(), angles.cos()], 1))
        return told

    def _maps(self, seen: Tensor, told: Tensor) -> Tensor:
        """F and a: (B, N_KINDS, 28, 28) -> (B, 1 + N_KINDS, 28, 28)."""
        fine = self.before(self.stem(_in_blocks(seen)), told)
        coarse = self.down(fine)
        for block, across in zip(self.middle, self.across, strict=True):
            coarse = block(coarse, told)
            coarse = coarse + across(self.act(coarse).flatten(2)).view_as(coarse)
        fine = self.merge(torch.cat([fine, _of_blocks(self.up(self.act(coarse)))], 1))
        return _of_blocks(self.last(self.act(self.after(fine, told))) + self.level(told)[:, :, None, None])


def _in_blocks(x: Tensor) -> Tensor:
    """Each 2 × 2 pixels as four channels of one place: (B, C, H, W) -> (B, 4C, H/2, W/2); a batch may be empty."""
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def _of_blocks(x: Tensor) -> Tensor:
    """The way back: (B, 4C, H, W) -> (B, C, 2H, 2W)."""
    n, c, h, w = x.shape
    return x.reshape(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)
