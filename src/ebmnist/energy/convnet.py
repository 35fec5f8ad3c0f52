"""The strided convolutional energy that MNIST tutorials start from, with its width and depth as fields."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebmnist.energy.fast import NativeEnergy
from ebmnist.energy.layers import Activation, activation_layer, normalised
from ebmnist.energy.precision import Precision, computing_in, known, native_bf16
from ebmnist.errors import BadInput
from ebmnist.native import Conv, Packed, library


class ConvNet(nn.Module):
    """Strided convolutions, then two linear layers: E(x), (B, 1, 28, 28) -> (B,).

    Channels double from `width` up to 4 × `width`; each convolution halves the picture: 28 → 16 → 8 → 4 → 2.
    Width 16 and depth 4 are the 76,993 parameters of the UvA tutorial 8 (Lippe 2022). No normalisation across
    the batch: an energy is a function of one image.

    Args:
        width: channels of the first convolution, ≥ 1.
        depth: number of convolutions, 2 to 5.
        activation: silu (default), softplus, elu, or leaky_relu.
        spectral_norm: divide every weight by its largest singular value.
        bowl: κ ≥ 0, of κ/2·‖x − ½‖² added to what the network says. With noise σ on x and κ of the kernel `cyclic`,
            the network has only κ(½ − 𝔼[image | x]) to give as its slope: bounded, at any σ (docs/theory.md, 7.1).
        precision: fp32; bf16, in all products; or auto for bf16 in those of weight gradients, and of chains walked in
            C++, where that is faster.

    Raises:
        BadInput: a field out of its range.

    >>> E = ConvNet(width=16)
    >>> E(torch.zeros(3, 1, 28, 28)).shape, sum(p.numel() for p in E.parameters())
    (torch.Size([3]), 76993)
    """

    capturable = True

    def __init__(
        self,
        width: int = 32,
        depth: int = 4,
        activation: Activation = "silu",
        spectral_norm: bool = False,
        bowl: float = 0.0,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        if width < 1 or not 2 <= depth <= 5:
            raise BadInput(f"convnet: width must be ≥ 1 and depth 2 to 5, not width {width}, depth {depth}")
        if not bowl >= 0:
            raise BadInput(f"convnet: bowl must be ≥ 0, not {bowl}")
        self.precision: Precision = known(precision)
        self.activation = activation
        self.bowl = bowl
        self.kept: dict[bool, Packed] | None = None  # packed weights, while `frozen` holds them fixed
        channels = [1, *(width * min(2**i, 4) for i in range(depth))]
        layers: list[nn.Module] = []
        for i in range(depth):
            # The first convolution pads by 4, so that digits near the border are seen whole: 28 → 16.
            kernel, padding = (5, 4) if i == 0 else (3, 1)
            conv = nn.Conv2d(channels[i], channels[i + 1], kernel, stride=2, padding=padding)
            layers += [normalised(conv, spectral_norm), activation_layer(activation)]
        side = 2 ** (5 - depth)
        hidden = normalised(nn.Linear(channels[-1] * side**2, 4 * width), spectral_norm)
        layers += [nn.Flatten(), hidden, activation_layer(activation)]
        # channels_last: oneDNN's convolutions need no re-layout at each call.
        self.net = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = normalised(nn.Linear(4 * width, 1), spectral_norm)

    def forward(self, x: Tensor) -> Tensor:
        """E(x). Pixels enter as 2x − 1, so that the zero padding is mid-grey, as in the tutorial."""
        with parametrize.cached():  # W/σ once, for whoever computes
            weights = [w for layer in (*self._layers(), self.head) for w in (layer.weight, layer.bias)]
            learns = torch.is_grad_enabled() and any(w is not None and w.requires_grad for w in weights)
            rough = learns and self.training
            packed = self.packed(rough=rough)
            # The C++ gives no gradient of a gradient.
            if packed is None or not packed.takes(x) or (learns and x.requires_grad):
                return self._in_torch(x, rough=rough)
            value: Tensor = NativeEnergy.apply(x, packed, rough, *weights)  # type: ignore[no-untyped-call]
            return value

    def _in_torch(self, x: Tensor, *, rough: bool) -> Tensor:
        with computing_in(self.precision, x.device, rough=rough):
            features: Tensor = self.net(2 * x - 1)
        # The last sum at full precision: rounded to bfloat16, an energy near 10 would come in steps of 0.06.
        value: Tensor = self.head(features.to(x.dtype))
        return value.squeeze(1) + 0.5 * self.bowl * (x - 0.5).flatten(1).square().sum(1)

    def packed(self, *, rough: bool) -> Packed | None:
        """The weights as the C++ reads them (`energy.fast.Packable`); None for what only PyTorch computes."""
        if (
            self.activation != "silu"
            or self.head.weight.dtype != torch.float32
            or self.head.weight.device.type != "cpu"
        ):
            return None
        if library() is None or (bf16 := native_bf16(self.precision, rough=rough)) is None:
            return None
        if self.kept is not None and bf16 in self.kept:
            return self.kept[bf16]
        side, convs = 28, []
        for layer in self._layers():
            assert layer.bias is not None
            if isinstance(layer, nn.Conv2d):
                conv = Conv(layer.weight, layer.bias, layer.stride[0], int(layer.padding[0]), side)
            else:
                conv = Conv(layer.weight.view(layer.out_features, -1, side, side), layer.bias, 1, 0, side)
            convs.append(conv)
            side = conv.side_out
        packed = Packed(convs, (self.head.weight, self.head.bias), scale=2.0, shift=-1.0, bowl=self.bowl, bf16=bf16)
        if self.kept is not None:
            self.kept[bf16] = packed
        return packed

    def _layers(self) -> list[nn.Conv2d | nn.Linear]:
        """All layers with weights but the last."""
        return [layer for layer in self.net if isinstance(layer, nn.Conv2d | nn.Linear)]
