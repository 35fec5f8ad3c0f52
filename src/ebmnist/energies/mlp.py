"""A multilayer perceptron on flat vectors: the energy for two-dimensional toys."""

from torch import Tensor, nn

from ebmnist.energies.layers import Activation, activation_layer, normalised
from ebmnist.errors import BadInput


class MLP(nn.Module):
    """Linear layers on the flattened sample: E(x), (B, *shape) -> (B,).

    Args:
        n_inputs: numbers in one sample: 2 for points in the plane, 784 for an image.
        width: units of each hidden layer, ≥ 1.
        depth: number of hidden layers, ≥ 1.
        activation: silu (default), softplus, elu, or leaky_relu.
        spectral_norm: divide every weight by its largest singular value.
        spectral_gain: then multiply it by this, > 0: the largest singular value that each weight has.

    Raises:
        BadInput: a field out of its range.
    """

    capturable = True

    def __init__(
        self,
        n_inputs: int = 784,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "silu",
        spectral_norm: bool = False,
        spectral_gain: float = 1.0,
    ) -> None:
        super().__init__()
        if min(n_inputs, width, depth) < 1:
            raise BadInput(f"mlp: n_inputs, width and depth must be ≥ 1, not {n_inputs}, {width}, {depth}")
        sizes = [n_inputs, *[width] * depth]
        layers: list[nn.Module] = [nn.Flatten()]
        for i in range(depth):
            layers += [normalised(nn.Linear(sizes[i], sizes[i + 1]), spectral_norm, spectral_gain)]
            layers += [activation_layer(activation)]
        self.net = nn.Sequential(*layers, normalised(nn.Linear(width, 1), spectral_norm, spectral_gain))

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer before its activation, (B, *shape) -> (B, width) (`energies.base.HasFeatures`)."""
        hidden: Tensor = self.net[:-2](x)
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        """E(x)."""
        value: Tensor = self.net(x)
        return value.squeeze(1)
