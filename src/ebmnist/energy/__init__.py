"""Energies E_θ(x): (B, *shape) → (B,), low where x is likely; p(x) ∝ exp(−E(x)/T)."""

from ebmnist.energy.base import Energy, energy_and_grad
from ebmnist.energy.convnet import ConvNet
from ebmnist.energy.freezing import frozen
from ebmnist.energy.mlp import MLP
from ebmnist.energy.resnet import ResNet

REGISTRY = {"convnet": ConvNet, "mlp": MLP, "resnet": ResNet}

__all__ = ["MLP", "REGISTRY", "ConvNet", "Energy", "ResNet", "energy_and_grad", "frozen"]
