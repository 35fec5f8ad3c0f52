"""What every architecture here is made of: a choice of activation, and layers with or without spectral norm."""

from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from ebmnist.errors import BadInput

Activation = Literal["silu", "softplus", "elu", "leaky_relu"]

# Smooth first: ∇E is what the sampler follows, so E should have a continuous gradient (leaky ReLU has not; it is
# here to compare with).
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}

Layer = TypeVar("Layer", bound=nn.Module)


def activation_layer(name: str) -> nn.Module:
    """Return the named activation. Raises `BadInput` for a name that is not in `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise BadInput(f"activation {name!r} is unknown: use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


class Times(nn.Module):
    """A weight times a constant: a parametrisation."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, weight: Tensor) -> Tensor:
        """Multiply."""
        return self.gain * weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What a weight is set to, for the layer to have the one given."""
        return weight / self.gain


def normalised(layer: Layer, spectral: bool, gain: float = 1.0) -> Layer:
    """Scale the layer's weight to a largest singular value of `gain` if `spectral`.

    Gain 1 is spectral normalisation as it was introduced (Miyato et al. 2018, eq. 8). Smooth activations are nearly
    linear near zero, which is where a stack of such layers leads: a gain above 1 gives the network its curvature back,
    and bounds it all the same.

    Raises:
        BadInput: a gain that is not > 0 and finite.
    """
    if not 0 < gain < float("inf"):
        raise BadInput(f"spectral_gain must be > 0 and finite, not {gain}")
    if spectral:
        layer = cast(Layer, spectral_norm(layer))
        if gain != 1:
            parametrize.register_parametrization(layer, "weight", Times(gain))
    return layer


class Head(nn.Linear):
    """The last layer of an energy, one sum in double: (B, n) -> (B, 1), float64 (float32 on MPS, which has no other).

    An energy is a small difference of large terms. In float32, or under somebody's autocast, it would come in steps.
    """

    def __init__(self, n: int) -> None:
        super().__init__(n, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Sum up."""
        return summed(features, self.weight, self.bias)


def summed(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The sum that `Head` is."""
    wide = torch.float32 if features.device.type == "mps" else torch.float64
    return functional.linear(features.to(wide), weight.to(wide), bias.to(wide))


def kind_of(layer: nn.Module) -> type:
    """The layer's class, less what a parametrisation makes of it."""
    return parametrize.type_before_parametrizations(layer) if "parametrizations" in layer._modules else type(layer)


def untouched(layer: nn.Module) -> bool:
    """Whether a layer does what its kind says with its weight and bias, and nobody listens to it.

    A hook, another kind of layer in its place, or a `forward` of its own, as adapters and quantisers set, says no.
    """
    hooks = layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks
    if any(hooks) or kind_of(layer) not in KINDS or "forward" in layer.__dict__:
        return False
    if isinstance(layer, nn.Conv2d):
        square = layer.stride[0] == layer.stride[1] and layer.padding[0] == layer.padding[1]
        if not square or (layer.dilation, layer.groups, layer.padding_mode) != ((1, 1), 1, "zeros"):
            return False
    return not isinstance(layer, nn.Conv2d | nn.Linear) or layer.bias is not None


# What an energy is built of.
KINDS = {nn.Conv2d, nn.Linear, nn.Flatten, nn.Sequential, Head, *ACTIVATIONS.values()}
