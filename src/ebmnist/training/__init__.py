"""Maximum likelihood by contrastive divergence: θ ← θ − η∇L, watched over by a guard."""

from ebmnist.training.base import Judgement, Objective, StepRecord, Verdict
from ebmnist.training.guard import Diverged, Guard
from ebmnist.training.loop import fit
from ebmnist.training.objective import ContrastiveDivergence
from ebmnist.training.schedule import Schedule
from ebmnist.training.state import Snapshot, Training, TrainState
from ebmnist.training.step import train_step

__all__ = [
    "ContrastiveDivergence",
    "Diverged",
    "Guard",
    "Judgement",
    "Objective",
    "Schedule",
    "Snapshot",
    "StepRecord",
    "TrainState",
    "Training",
    "Verdict",
    "fit",
    "train_step",
]
