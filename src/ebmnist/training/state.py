"""Everything training owns, in one place: checkpoints and rollback both save and restore exactly this."""

import copy
from typing import Any, NamedTuple

from torch import Tensor, nn

from ebmnist.errors import BadInput
from ebmnist.random import Purpose, StepRng, Stream, check_seed
from ebmnist.ranks import ALONE, Ranks
from ebmnist.sampling.base import Kernel, Start
from ebmnist.training.adamw import AdamW
from ebmnist.training.base import DenoisingObjective, Objective
from ebmnist.training.guard import GuardState
from ebmnist.training.hyperparameters import Training
from ebmnist.training.running import Running


class Snapshot(NamedTuple):
    """The whole state at one moment: tensors by dotted name, and facts that are JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class TrainState:
    """All that training owns: energy, its average (EMA), optimiser, start, guard's memory and step.

    Lives on the device of the energy's parameters. Its random numbers are functions of seed, stream and step: there is
    no generator whose state would have to be kept.

    Args:
        energy: the module to train.
        training: how long and how fast.
        kernel: moves the negative chains.
        start: where they begin; a `ReplayBuffer` belongs to one run.
        objective: what is minimised.
        seed: of every random stream; the weights were drawn by whoever made the energy.
        ranks: the processes that share each update's work, all with the same state; by default this one alone.
    """

    def __init__(
        self,
        energy: nn.Module,
        training: Training,
        *,
        kernel: Kernel,
        start: Start,
        objective: Objective | DenoisingObjective,
        seed: int = 0,
        ranks: Ranks = ALONE,
    ) -> None:
        self.energy = energy.train()  # spectral norm's power iteration moves in training mode only
        self.training = training
        self.kernel = kernel
        self.start = start
        self.objective = objective
        self.seed = check_seed(seed)
        self.ranks = ranks
        self.stream = 0  # how often the guard has gone back, each time to go on with other random numbers
        self.ema = copy.deepcopy(energy).eval().requires_grad_(False)
        self.optimiser = AdamW(energy.parameters(), (training.beta1, training.beta2), training.weight_decay)
        self.device = next(energy.parameters()).device
        self.guard_state = GuardState()
        self.step = 0

    def stream_of(self, purpose: Purpose) -> Stream:
        """The random numbers of one purpose."""
        return Stream(self.seed, purpose, self.stream)

    def rng_of(self, purpose: Purpose) -> StepRng:
        """Those of the next update, from its first draw on."""
        return StepRng(self.stream_of(purpose), self.step, self.device)

    @property
    def rng(self) -> StepRng:
        """Those with which the start draws in the next update."""
        return self.rng_of(Purpose.BUFFER)

    @property
    def lr(self) -> float:
        """The learning rate in force: base × schedule × guard."""
        t = self.training
        return t.lr * t.schedule.factor(self.step, t.n_updates) * t.guard.lr_factor(self.guard_state)

    def snapshot(self, *, copied: bool = True) -> Snapshot:
        """A copy of the state that later updates leave alone; or the live tensors, for who reads them at once."""
        tensors = {f"energy.{k}": v for k, v in self.energy.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        tensors |= {f"start.{k}": v for k, v in self.start.tensors().items()}
        tensors |= {f"optimiser.{k}": v for k, v in self.optimiser.tensors().items()}
        memory = {**self.guard_state._asdict(), "running": self.guard_state.running._asdict()}
        facts = {"step": self.step, "seed": self.seed, "stream": self.stream, "guard": memory}
        return Snapshot({k: v.detach().clone() if copied else v.detach() for k, v in tensors.items()}, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Become the state that `snapshot()` saw; tensors of other names are left alone.

        Raises:
            BadInput: the snapshot is of another architecture or another start.
        """
        tensors, facts = snapshot
        load_weights(self.energy, _under(tensors, "energy."))
        load_weights(self.ema, _under(tensors, "ema."))
        self.optimiser.restore(_under(tensors, "optimiser."))
        self.start.restore({k: v.to(self.device) for k, v in _under(tensors, "start.").items()})
        self.step, self.seed, self.stream = facts["step"], facts["seed"], facts["stream"]
        guard = dict(facts["guard"])
        self.guard_state = GuardState(**{**guard, "running": Running(**guard["running"])})


def load_weights(energy: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load an energy's weights by name.

    Raises:
        BadInput: the names or shapes are those of another architecture.
    """
    own = energy.state_dict()
    if wrong := sorted(own.keys() ^ tensors.keys()):
        raise BadInput(f"these weights are of another architecture: {wrong[0]!r} is in one and not the other")
    for name, value in tensors.items():
        if value.shape != own[name].shape:
            raise BadInput(
                f"these weights are of another architecture: {name!r} has shape {tuple(value.shape)}, "
                f"this energy's {tuple(own[name].shape)}"
            )
    energy.load_state_dict(tensors)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
