"""What can break a training run, injected between two updates: for the tests and for `benchmarks/guard.py`."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.sampling import ReplayBuffer
from ebmnist.training import TrainState


class Fault(NamedTuple):
    """A fault: its name, what it does, and `inject(state)`, which does it once, by the next update at the latest."""

    name: str
    words: str
    inject: Callable[[TrainState], None]


@torch.no_grad()
def nan_in_weight(state: TrainState) -> None:
    next(state.energy.parameters()).view(-1)[0] = torch.nan


def nan_in_gradient(state: TrainState) -> None:
    def spoil(grad: Tensor) -> Tensor:
        handle.remove()
        return grad * torch.nan

    handle = next(state.energy.parameters()).register_hook(spoil)


def nan_in_buffer(state: TrainState) -> None:
    _chains(state)[::4] = torch.nan


def nan_in_optimiser(state: TrainState) -> None:
    state.optimiser.moments[0]["exp_avg_sq"].fill_(torch.nan)


@torch.no_grad()
def nan_in_average(state: TrainState) -> None:
    next(state.ema.parameters()).view(-1)[0] = torch.nan


def lr_times_100(state: TrainState) -> None:
    step = state.optimiser.step

    def rush(lr: float) -> None:
        del state.optimiser.step  # the class's own again
        step(100 * lr)

    state.optimiser.step = rush  # type: ignore[method-assign]


@torch.no_grad()
def energy_times_1000(state: TrainState) -> None:
    for p in list(state.energy.parameters())[-2:]:  # the last layer's weight and bias
        p.mul_(1000)


@torch.no_grad()
def dead_energy(state: TrainState) -> None:
    for p in state.energy.parameters():
        p.zero_()


def one_image_in_buffer(state: TrainState) -> None:
    chains = _chains(state)
    chains[:] = chains[0].clone()


def buffer_at_clamp(state: TrainState) -> None:
    _chains(state).fill_(1.0)


def _chains(state: TrainState) -> Tensor:
    assert isinstance(state.start, ReplayBuffer)
    return state.start.images


FAULTS = (
    Fault("nan_in_weight", "one weight becomes NaN", nan_in_weight),
    Fault("nan_in_gradient", "one update's weight gradient is NaN", nan_in_gradient),
    Fault("nan_in_buffer", "a quarter of the buffer becomes NaN", nan_in_buffer),
    Fault("nan_in_optimiser", "Adam's second moments of one layer become NaN", nan_in_optimiser),
    Fault("nan_in_average", "one averaged weight becomes NaN", nan_in_average),
    Fault("lr_times_100", "one update with 100 times the learning rate", lr_times_100),
    Fault("energy_times_1000", "the last layer times 1000", energy_times_1000),
    Fault("dead_energy", "all weights become 0, so that chains do not move", dead_energy),
    Fault("one_image_in_buffer", "the buffer is filled with one image", one_image_in_buffer),
    Fault("buffer_at_clamp", "the buffer is filled with ones, an end of the clamp", buffer_at_clamp),
)
