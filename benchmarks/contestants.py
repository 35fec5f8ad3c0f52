"""The chains that are timed: each a function of the number of steps, on the same weights and the same start."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ebmnist.energies import ConvNet
from ebmnist.sampling import Langevin, run_chain
from tutorial import tutorial_chain

BATCH = 128
Chains = Callable[[int], Any]  # runs them so many steps; what it returns is not looked at

TUTORIAL = "the tutorial's loop"
SAME = "ebmnist, the tutorial's semantics"
SAME_AUTO = f"{SAME}, auto"
OURS = "ebmnist, default"


def start(batch: int = BATCH) -> Tensor:
    """Uniform noise in [0, 1], (batch, 1, 28, 28)."""
    return torch.rand(batch, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def same_weights(net: nn.Sequential, precision: str = "fp32") -> ConvNet:
    """The tutorial's network as an energy of ours: the same function of the image, E(x) = −net(2x − 1)."""
    energy = ConvNet(width=net[0].out_channels, reference_precision=0.0, precision=precision)
    energy.net.load_state_dict(net[:-1].state_dict())
    with torch.no_grad():
        energy.head.weight.copy_(-net[-1].weight)
        energy.head.bias.copy_(-net[-1].bias)
    return energy


def tutorial(net: nn.Sequential, x: Tensor) -> Chains:
    """The tutorial's own loop."""
    return lambda n_steps: tutorial_chain(net, 2 * x - 1, n_steps)


def ours_as_the_tutorial(net: nn.Sequential, x: Tensor) -> Chains:
    """The tutorial's exact semantics, in fp32: noise first, clip, clamp (tests/benchmarks/test_parity.py)."""
    return _ours(same_weights(net), Langevin(noise_first=True), x)


def ours_as_the_tutorial_auto(net: nn.Sequential, x: Tensor) -> Chains:
    """The same semantics with precision `auto`: bfloat16 products where the processor gains by them."""
    return _ours(same_weights(net, "auto"), Langevin(noise_first=True), x)


def ours(net: nn.Sequential, x: Tensor) -> Chains:
    """What a user gets who asks for nothing."""
    return _ours(same_weights(net, "auto"), Langevin(), x)


def _ours(energy: ConvNet, kernel: Langevin, x: Tensor) -> Chains:
    rng = torch.Generator().manual_seed(0)
    return lambda n_steps: run_chain(energy, kernel, x, n_steps, rng=rng).x
