"""Small problems to train on: points on a ring, and a training state around a network of a few weights."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ebmnist.data.batches import Batches
from ebmnist.energies import MLP
from ebmnist.random import Purpose
from ebmnist.sampling import Langevin, ReplayBuffer
from ebmnist.training import ContrastiveDivergence, StepRecord, Training, TrainState, train_step

RING = 0.35, 0.03  # radius and standard deviation across, about the middle of the unit square


def ring(n: int, rng: torch.Generator) -> Tensor:
    """Return points on a blurred circle, (n, 2)."""
    angle = 2 * math.pi * torch.rand(n, generator=rng)
    radius = RING[0] + RING[1] * torch.randn(n, generator=rng)
    return 0.5 + radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


def off_ring(x: Tensor) -> Tensor:
    """Return each point's distance from the circle, (n,)."""
    return ((x - 0.5).norm(dim=1) - RING[0]).abs()


def toy_state(energy: nn.Module | None = None, seed: int = 0, **given: Any) -> TrainState:
    """Return a small training state; `given` are its parts (kernel, start, objective) or fields of `Training`."""
    parts = {
        "kernel": given.pop("kernel", Langevin(step_size=0.1, temperature=0.01, clip=None, clamp=None)),
        "start": given.pop("start", None) or ReplayBuffer(32, 0.1),
        "objective": given.pop("objective", ContrastiveDivergence(energy_l2=0.05)),
    }
    training = Training(**{"batch_size": 16, "n_steps": 3, "data_noise": 0.01, **given})
    return TrainState(energy or MLP(2, 8), training, seed=seed, **parts)


def advance(state: TrainState, images: Tensor, n_updates: int) -> list[StepRecord]:
    """Do some updates in the order that `fit` would, with no guard in between."""
    batches = Batches(images, state.training.batch_size, state.stream_of(Purpose.BATCHES))
    return [train_step(state, batches.at(state.step)) for _ in range(n_updates)]
