"""What training says of itself: a record per update, and the guard's action on it."""

from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.energies.levels import NoiseConditioned
from ebmnist.random import AnySource


class StepRecord(NamedTuple):
    """One update in numbers (all Python floats; energies in units of E). NaN and inf are recorded as they are.

    A denoising objective has no chains: x_pos and x_neg are then the same noisy images, and x_0 the clean ones.
    """

    step: int  # updates done, this one included
    loss: float  # what was minimised
    energy_pos: float  # mean E(x_pos)
    energy_neg: float  # mean E(x_neg)
    energy_max: float  # largest |E| in either batch
    weight_grad_norm: float  # ‖∂L/∂θ‖₂ before clipping
    weight_norm: float  # ‖θ‖₂ after the update
    grad_norm: float  # mean ‖∂E/∂x‖₂ over chains, in the last Langevin step, before clipping
    share_clipped: float  # share of the last Langevin step's gradient components that were clipped
    share_at_clamp: float  # of the pixels that clean data leave off the clamp's ends, the share that x_neg does not
    displacement: float  # mean distance from a chain's start to its end, ‖x_K − x_0‖₂
    diversity: float  # median ‖·‖₂ between neighbours in x_neg, over the same in x_pos
    finite_images: float  # 1.0 if every pixel of x_neg is finite, else 0.0
    lr: float
    energy_l2: float  # weight of the energy regulariser in force
    seconds: float  # wall time of this update

    @property
    def gap(self) -> float:
        """E(x_neg) − E(x_pos), the contrastive-divergence gap; the classical failure is a large |gap|."""
        return self.energy_neg - self.energy_pos


class Action(Enum):
    """What the guard decided after an update; the values are what people read."""

    HEALTHY = "healthy"
    WATCHED = "watched: answered only if it lasts"
    LR_LOWERED = "unstable: learning rate lowered, regularisation, if any, raised"
    LR_RESTORED = "stable again: learning rate and regularisation restored"
    REINITIALISED = "invalid chains reinitialised, from the last healthy snapshot or from noise"
    ROLLED_BACK = "rolled back to the last healthy snapshot, with a new random stream"


class Decision(NamedTuple):
    """An action with the signals that led to it, in words."""

    action: Action
    signals: tuple[str, ...] = ()


class Objective(Protocol):
    """A loss whose gradient moves θ. Frozen dataclass; `terms` are detached scalars worth logging."""

    def __call__(
        self,
        energy: Energy,
        x_pos: Tensor,
        x_neg: Tensor,
        *,
        regularisation: float = 1.0,
        levels: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar loss and its terms.

        `regularisation` scales the energy regulariser; `levels` are the noise σ that pair i of x_pos and x_neg
        carries, (B,), where it differs from pair to pair.
        """
        ...


@runtime_checkable
class DenoisingObjective(Protocol):
    """A loss on noisy images at levels that the energy is told; it needs no samples. Frozen dataclass."""

    def levels(self, energy: NoiseConditioned, n: int, rng: AnySource) -> Tensor:
        """Draw the noise σ of n images, (n,), in pixels."""
        ...

    def __call__(
        self, energy: NoiseConditioned, x: Tensor, sigma: Tensor, noise: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar loss of images x + σ·noise, and its terms: `energy`, `energy_max` and `grad_norm`.

        `x` and `noise` are (B, *shape), `sigma` (B,). Loss and terms are means over images, but `energy_max`, which is
        the largest |E|: ranks and microbatches compute them by parts.
        """
        ...
