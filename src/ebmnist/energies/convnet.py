"""The strided convolutional energy that MNIST tutorials start from, with its width and depth as fields."""

from collections.abc import Hashable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _has_any_global_hook

from ebmnist.energies.fast import NativeEnergy, followed, laid_out, plain
from ebmnist.energies.freezing import memo_of
from ebmnist.energies.layers import Activation, Head, activation_layer, kind_of, normalised, summed, untouched
from ebmnist.energies.precision import Precision, computing_in, known, native_bf16
from ebmnist.errors import BadInput
from ebmnist.native import Conv, NativeNet, library


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
        spectral_gain: then multiply it by this, > 0: the largest singular value that each weight has.
        reference_precision: κ ≥ 0, of κ/2·‖x − ½‖² added to what the network says. With noise σ on x and the κ of
            `annealed_langevin`, the network only has to give the slope κ(½ − 𝔼[image | x]), which is bounded at any σ
            (docs/concepts/annealing.md). The default is that kernel's κ; 0 is for a kernel of one temperature.
        precision: fp32; bf16, in all products; or auto for bf16 in those of weight gradients, and of chains run in
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
        spectral_gain: float = 1.0,
        reference_precision: float = 0.05,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        if width < 1 or not 2 <= depth <= 5:
            raise BadInput(f"convnet: width must be ≥ 1 and depth 2 to 5, not width {width}, depth {depth}")
        if not reference_precision >= 0:
            raise BadInput(f"convnet: reference_precision must be ≥ 0, not {reference_precision}")
        self.precision: Precision = known(precision)
        self.reference_precision = reference_precision
        channels = [1, *(width * min(2**i, 4) for i in range(depth))]
        layers: list[nn.Module] = []
        for i in range(depth):
            # The first convolution pads by 4, so that digits near the border are seen whole: 28 → 16.
            kernel, padding = (5, 4) if i == 0 else (3, 1)
            conv = nn.Conv2d(channels[i], channels[i + 1], kernel, stride=2, padding=padding)
            layers += [normalised(conv, spectral_norm, spectral_gain), activation_layer(activation)]
        side = 2 ** (5 - depth)
        hidden = normalised(nn.Linear(channels[-1] * side**2, 4 * width), spectral_norm, spectral_gain)
        layers += [nn.Flatten(), hidden, activation_layer(activation)]
        # channels_last: oneDNN's convolutions need no re-layout at each call.
        self.net = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = normalised(Head(4 * width), spectral_norm, spectral_gain)

    def forward(self, x: Tensor) -> Tensor:
        """E(x). Pixels enter as 2x − 1, so that the zero padding is mid-grey, as in the tutorial."""
        weights = None if followed() or not plain(x) else self._weights()
        if weights is None:
            return self._by_layers(x)
        learns = torch.is_grad_enabled() and any(w.requires_grad for w in weights)
        slope, low_precision = torch.is_grad_enabled() and x.requires_grad, learns and self.training
        # The C++ gives one gradient at a time.
        native_net = None if learns and slope else self.native_net(low_precision=low_precision, weights=weights)
        if native_net is not None and native_net.takes(x):
            value: Tensor = NativeEnergy.apply(x, native_net, low_precision, self._by_weights, *weights)  # type: ignore[no-untyped-call]
            return value
        if not (learns or slope or self.precision == "bf16" or x.device.type == "mps"):
            # Nobody waits for a gradient: in double, for reference term and network nearly cancel.
            return self._by_weights(x.double(), *(w.double() for w in weights)).to(x.dtype)
        with computing_in(self.precision, x.device, low_precision=low_precision):
            return self._by_weights(x, *weights)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer before its activation, (B, 1, 28, 28) -> (B, 4 · width) (`base.HasFeatures`)."""
        with computing_in(self.precision, x.device, low_precision=False):
            hidden: Tensor = self.net[:-1](2 * x - 1)
        return hidden

    def _by_layers(self, x: Tensor) -> Tensor:
        """E(x) by the modules, whatever has become of them."""
        with computing_in(self.precision, x.device, low_precision=self.training and torch.is_grad_enabled()):
            features: Tensor = self.net(2 * x - 1)
        return self._with_reference(x, self.head(features))

    def _by_weights(self, x: Tensor, *weights: Tensor) -> Tensor:
        """E(x) as a function of the weights (`_weights`)."""
        h, pairs = 2 * x - 1, zip(weights[::2], weights[1::2], strict=True)
        for layer in self.net:
            if isinstance(layer, nn.Conv2d):
                h = functional.conv2d(h, *next(pairs), layer.stride, layer.padding)
            else:
                h = functional.linear(h, *next(pairs)) if isinstance(layer, nn.Linear) else layer(h)
        return self._with_reference(x, summed(h, *next(pairs)))

    def _with_reference(self, x: Tensor, value: Tensor) -> Tensor:
        """The sum of two terms near ±4.5 that nearly cancel: in double, and rounded once."""
        quadratic = (x.to(value.dtype) - 0.5).flatten(1).square().sum(1)
        return (value.squeeze(1) + 0.5 * self.reference_precision * quadratic).to(x.dtype)

    def _weights(self) -> list[Tensor] | None:
        """Weight and bias of each layer in turn; None if the layers are no longer what was built (`untouched`)."""
        memo = memo_of(self)
        if memo is not None and "weights" in memo:
            return cast(list[Tensor] | None, memo["weights"])
        weights = None
        listened = _has_any_global_hook()  # type: ignore[no-untyped-call]
        if not listened and all(map(untouched, (self.net, *self.net, self.head))):
            pairs = [(layer.weight, layer.bias) for layer in (*self._layers(), self.head)]
            every = [cast(Tensor, w) for pair in pairs for w in pair]
            weights = every if all(map(plain, every)) else None
        if memo is not None:
            memo["weights"] = weights
        return weights

    def native_net(self, *, low_precision: bool, weights: list[Tensor] | None = None) -> NativeNet | None:
        """The weights as the C++ reads them (`energy.fast.HasNativeNet`); None for what only PyTorch computes.

        `weights` saves computing W/σ again where they are at hand.
        """
        memo = memo_of(self)
        if memo is not None and low_precision in memo:
            return cast(NativeNet | None, memo[low_precision])
        native_net, kinds = None, [kind_of(layer) for layer in self.net]
        known = [nn.Conv2d, nn.SiLU] * kinds.count(nn.Conv2d) + [nn.Flatten, nn.Linear, nn.SiLU]
        if kinds == known and library() is not None and not followed():
            bf16, weights = native_bf16(self.precision, low_precision=low_precision), weights or self._weights()
            if bf16 is not None and weights is not None and all(w.device.type == "cpu" for w in weights):
                lay_out = partial(self._pack, bf16=bf16)
                keep = memo is None  # which keeps it itself
                native_net = laid_out(self, weights, self._facts(), lay_out, bf16=bf16, keep=keep)
        if memo is not None:
            memo[low_precision] = native_net
        return native_net

    def _facts(self) -> tuple[Hashable, ...]:
        """What the C++ is told beside the weights, and which of its variants is told."""
        layers = [(layer.stride, layer.padding) for layer in self.net if isinstance(layer, nn.Conv2d)]
        return self.reference_precision, library(), *layers

    def _pack(self, weights: list[Tensor], *, bf16: bool) -> NativeNet:
        side, convs = 28, []
        *below, head, bias = weights
        for layer, w, b in zip(self._layers(), below[::2], below[1::2], strict=True):
            if isinstance(layer, nn.Conv2d):
                conv = Conv(w, b, layer.stride[0], int(layer.padding[0]), side)
            else:
                conv = Conv(w.view(layer.out_features, -1, side, side), b, 1, 0, side)
            convs.append(conv)
            side = conv.side_out
        return NativeNet(
            convs, (head, bias), scale=2.0, shift=-1.0, reference_precision=self.reference_precision, bf16=bf16
        )

    def _layers(self) -> list[nn.Conv2d | nn.Linear]:
        """All layers with weights but the last."""
        return [layer for layer in self.net if isinstance(layer, nn.Conv2d | nn.Linear)]
