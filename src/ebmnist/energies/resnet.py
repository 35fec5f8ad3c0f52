"""A small residual energy: a second architecture, to see what is the method's and what is the network's."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ebmnist.energies.layers import Activation, Head, activation_layer, normalised
from ebmnist.energies.precision import Precision, computing_in, known
from ebmnist.errors import BadInput


class Block(nn.Module):
    """x ↦ pool(x) + pool(conv(φ(conv(φ(x))))), the pre-activated residual block, halving the picture.

    Source: He et al. 2016 (identity mappings), with the mean-pooling of Du & Mordatch 2019, app. A.
    """

    def __init__(self, c_in: int, c_out: int, activation: Activation, spectral: bool, gain: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            activation_layer(activation),
            normalised(nn.Conv2d(c_in, c_out, 3, padding=1), spectral, gain),
            activation_layer(activation),
            normalised(nn.Conv2d(c_out, c_out, 3, padding=1), spectral, gain),
        )
        self.skip = normalised(nn.Conv2d(c_in, c_out, 1), spectral, gain)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H/2, W/2)."""
        # Pooling before the 1×1 convolution is the same map, four times cheaper.
        return self.skip(avg_pool2d(x, 2)) + avg_pool2d(self.body(x), 2)


class ResNet(nn.Module):
    """A strided stem, `depth` residual blocks and a linear layer: E(x), (B, 1, 28, 28) -> (B,).

    Args:
        width: channels of the stem, ≥ 1; the blocks have 2 × and 4 × as many.
        depth: number of residual blocks, 1 to 4; each halves the picture, 16 → 8 → 4 → 2 → 1.
        activation: silu (default), softplus, elu, or leaky_relu.
        spectral_norm: divide every weight by its largest singular value.
        spectral_gain: then multiply it by this, > 0: the largest singular value that each weight has.
        precision: fp32; bf16, in all products; or auto for bf16 in those of weight gradients, where that is faster.

    Raises:
        BadInput: a field out of its range.
    """

    capturable = True

    def __init__(
        self,
        width: int = 16,
        depth: int = 3,
        activation: Activation = "silu",
        spectral_norm: bool = False,
        spectral_gain: float = 1.0,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        if width < 1 or not 1 <= depth <= 4:
            raise BadInput(f"resnet: width must be ≥ 1 and depth 1 to 4, not width {width}, depth {depth}")
        self.precision: Precision = known(precision)
        channels = [width * min(2**i, 4) for i in range(depth + 1)]
        net = nn.Sequential(
            normalised(nn.Conv2d(1, width, 5, stride=2, padding=4), spectral_norm, spectral_gain),
            *(Block(channels[i], channels[i + 1], activation, spectral_norm, spectral_gain) for i in range(depth)),
            activation_layer(activation),
            nn.Flatten(),
        )
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = normalised(Head(channels[-1] * (16 // 2**depth) ** 2), spectral_norm, spectral_gain)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer before its activation, (B, 1, 28, 28) -> (B, n) (`energies.base.HasFeatures`)."""
        with computing_in(self.precision, x.device, low_precision=False):
            hidden: Tensor = self.net[:-2](2 * x - 1)
        return hidden.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """E(x). Pixels enter as 2x − 1, so that the zero padding is mid-grey."""
        with computing_in(self.precision, x.device, low_precision=self.training and torch.is_grad_enabled()):
            features: Tensor = self.net(2 * x - 1)
        value: Tensor = self.head(features)
        return value.squeeze(1).to(x.dtype)
