"""A small real training, on images of one bright spot, and what to ask of it: for tests of the guard and the loop."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ebmnist.energies import MLP
from ebmnist.sampling import FromNoise, Langevin, ReplayBuffer
from ebmnist.training import (
    Action,
    ContrastiveDivergence,
    Decision,
    Diverged,
    Guard,
    Snapshot,
    StepRecord,
    Training,
    TrainState,
    fit,
)
from ebmnist.training.limits import Limits

GUARD = Guard(snapshot_every=10, restore_after=25, patience=12, cooldown=5, limits=Limits(settling=25))
WARM = 40  # updates before a fault
# Each fault's gravest answer, and within how many updates it comes.
ANSWERS = {
    "nan_in_weight": (Action.ROLLED_BACK, 1),
    "nan_in_gradient": (Action.WATCHED, 1),
    "nan_in_buffer": (Action.REINITIALISED, 1),
    "nan_in_optimiser": (Action.ROLLED_BACK, 1),
    "nan_in_average": (Action.ROLLED_BACK, GUARD.snapshot_every),
    "lr_times_100": (Action.ROLLED_BACK, 2),
    "energy_times_1000": (Action.ROLLED_BACK, 1),
    "dead_energy": (Action.ROLLED_BACK, GUARD.patience),
    "one_image_in_buffer": (Action.REINITIALISED, 1),
    "buffer_at_clamp": (Action.REINITIALISED, 1),
}


def bumps(n: int = 256) -> Tensor:
    """Return n images of one bright spot each, (n, 1, 8, 8)."""
    centre = 1 + 5 * torch.rand(n, 2, 1, 1, generator=torch.Generator().manual_seed(1))
    grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"))
    return torch.exp(-0.5 * (grid - centre).square().sum(1)).unsqueeze(1)


def make_state(
    guard: Guard = GUARD, start: ReplayBuffer | FromNoise | None = None, device: torch.device | str = "cpu"
) -> TrainState:
    torch.manual_seed(0)
    return TrainState(
        MLP(64, width=32, depth=2).to(device),
        Training(n_updates=10_000, batch_size=32, n_steps=6, lr=3e-3, guard=guard),
        kernel=Langevin(),
        start=start or ReplayBuffer(256),
        objective=ContrastiveDivergence(),
    )


def warmed(warm: Snapshot, guard: Guard = GUARD) -> tuple[TrainState, Iterator[tuple[StepRecord, Decision]]]:
    """Return a run that has just made `WARM` + 3 updates."""
    state = make_state(guard)
    state.restore(warm)
    run = fit(state, bumps())
    for _ in range(3):
        next(run)
    return state, run


def until_diverged(run: Iterator[tuple[StepRecord, Decision]], fault: Callable[[], None]) -> tuple[str, Diverged]:
    """Inject the fault before every update; return the actions' initials and what was raised in the end."""
    said = ""
    try:
        for _ in range(100):
            fault()
            said += next(run)[1].action.name[0]
    except Diverged as diverged:
        return said, diverged
    raise AssertionError(f"100 updates, and no end: {said}")


def all_finite(state: TrainState) -> bool:
    return all(bool(v.isfinite().all()) for v in state.snapshot().tensors.values())


def spread(x: Tensor) -> Tensor:
    return (x[1:] - x[:-1]).flatten(1).norm(dim=1).mean()
