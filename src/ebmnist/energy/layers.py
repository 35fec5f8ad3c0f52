"""What every architecture here is made of: a choice of activation, and layers with or without spectral norm."""

from typing import Literal, TypeVar, cast

from torch import nn
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


def normalised(layer: Layer, spectral: bool) -> Layer:
    """Divide the layer's weight by its largest singular value (Miyato et al. 2018, eq. 8) if `spectral`."""
    return cast(Layer, spectral_norm(layer)) if spectral else layer
