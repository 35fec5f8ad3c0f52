"""Maximum likelihood by contrastive divergence, and score matching: θ ← θ − η∇L, watched over by a guard."""

from ebmnist.training.base import Action, Decision, Objective, StepRecord
from ebmnist.training.guard import Diverged, Guard
from ebmnist.training.hyperparameters import Training
from ebmnist.training.loop import fit
from ebmnist.training.objectives import ContrastiveDivergence, DualScoreMatching
from ebmnist.training.schedule import Schedule
from ebmnist.training.state import Snapshot, TrainState
from ebmnist.training.step import train_step

__all__ = [
    "Action",
    "ContrastiveDivergence",
    "Decision",
    "Diverged",
    "DualScoreMatching",
    "Guard",
    "Objective",
    "Schedule",
    "Snapshot",
    "StepRecord",
    "TrainState",
    "Training",
    "fit",
    "train_step",
]
