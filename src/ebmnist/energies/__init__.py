"""Energies E_θ(x): (B, *shape) → (B,), low where x is likely; p(x) ∝ exp(−E(x)/T)."""

from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.convnet import ConvNet
from ebmnist.energies.freezing import frozen
from ebmnist.energies.mlp import MLP
from ebmnist.energies.resnet import ResNet
from ebmnist.energies.unet import UNet

REGISTRY = {"convnet": ConvNet, "mlp": MLP, "resnet": ResNet, "unet": UNet}

__all__ = ["MLP", "REGISTRY", "ConvNet", "Energy", "ResNet", "UNet", "energy_and_grad", "frozen"]
