"""Energies E_θ(x): (B, *shape) → (B,), low where x is likely; p(x) ∝ exp(−E(x)/T)."""

from ebmnist.energies.base import Energy, energy_and_grad
from ebmnist.energies.convnet import ConvNet
from ebmnist.energies.freezing import frozen
from ebmnist.energies.mlp import MLP
from ebmnist.energies.resnet import ResNet

REGISTRY = {"convnet": ConvNet, "mlp": MLP, "resnet": ResNet}

__all__ = ["MLP", "REGISTRY", "ConvNet", "Energy", "ResNet", "energy_and_grad", "frozen"]
