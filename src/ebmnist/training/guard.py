"""The stability guard: after every update it decides what to do, and takes the mildest action that helps."""

from dataclasses import dataclass, field
from typing import NamedTuple

from ebmnist.errors import BadInput
from ebmnist.training.base import Action, Decision, StepRecord
from ebmnist.training.instability import Severity, Signal, signals_in
from ebmnist.training.limits import Limits
from ebmnist.training.running import Running


class Diverged(RuntimeError):
    """Training failed after every answer the guard has; the message is a report of what was seen."""


class GuardState(NamedTuple):
    """What the guard remembers between updates. Plain numbers: it travels in the checkpoint."""

    n_lr_decays: int = 0  # how often the learning rate is lowered now
    n_healthy: int = 0  # healthy updates in a row
    n_unhealthy: int = 0  # unhealthy updates since the last `cooldown` healthy ones in a row
    since_lowered: int = 0  # updates since `n_lr_decays` last rose
    rollbacks: int = 0
    running: Running = Running()


@dataclass(frozen=True)
class Guard:
    """When the guard answers, and how far it goes.

    Actions, mildest first: lower the learning rate and raise the regularisation, and restore both once healthy;
    reinitialise invalid chains; roll back to the last healthy snapshot with a new random stream; raise `Diverged`.

    Raises:
        BadInput: a field out of its range.
    """

    enabled: bool = True
    """False: only record (to see what happens without a guard)."""
    lr_decay_factor: float = 0.5
    """Each time, the learning rate is multiplied by this and the regularisation divided by it; in (0, 1)."""
    max_lr_decays: int = 6
    """How often the rate may be lowered at most, before it is restored."""
    cooldown: int = 10
    """Updates before the rate is lowered again; and healthy updates in a row that end an unstable phase."""
    restore_after: int = 100
    """Healthy updates in a row after which the rate is restored by one step; doubled by each rollback but the first:
    a run that failed again after that is restored later."""
    lower_after: int = 2
    """Unhealthy updates, counted as for `patience`, from which on the rate is lowered; one spike is clipped."""
    patience: int = 20
    """Unhealthy updates, with no `cooldown` healthy ones in a row between them, after which the run is rolled back."""
    snapshot_every: int = 50
    """Updates between snapshots; one counts as healthy when no signal came up to the next."""
    max_rollbacks: int = 8
    """Rollbacks in a run; one more raises `Diverged`."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 < self.lr_decay_factor < 1:
            raise BadInput(f"guard: lr_decay_factor must be in (0, 1), not {self.lr_decay_factor}")
        counts = (self.cooldown, self.restore_after, self.lower_after, self.patience, self.snapshot_every)
        if min(counts) < 1 or min(self.max_lr_decays, self.max_rollbacks) < 0:
            raise BadInput(
                "guard: lower_after, cooldown, restore_after, patience, snapshot_every must be ≥ 1, caps ≥ 0"
            )

    def lr_factor(self, state: GuardState) -> float:
        """What the learning rate is multiplied by now."""
        return float(self.lr_decay_factor**state.n_lr_decays)

    def regularisation(self, state: GuardState) -> float:
        """What the energy regulariser is multiplied by now."""
        return 1 / self.lr_factor(state)

    def decide(self, record: StepRecord, state: GuardState, *seen: Signal) -> tuple[Decision, GuardState]:
        """Return the action on one update and what to remember. Changes nothing: `fit` carries the answer out.

        `seen` are signals that come from elsewhere than the record.
        """
        if not self.enabled:
            return Decision(Action.HEALTHY), state
        # The regulariser's scale for |E|, 1/(2λ), is that of the recipe's own λ: energies follow a new λ only slowly.
        l2 = record.energy_l2 / self.regularisation(state)
        natural = 0.5 / l2 if l2 > 0 else 0.0
        signals = [*signals_in(record, state.running, self.limits, natural), *seen]
        worst = max((signal.severity for signal in signals), default=Severity.WATCH)
        if worst < Severity.REINITIALISE:
            running = state.running.after(record, settling=self.limits.settling)
            state = state._replace(running=running)
        state = state._replace(since_lowered=state.since_lowered + 1)
        action, state = self._answer(worst, state) if signals else self._after_healthy(state)
        return Decision(action, tuple(signal.words for signal in signals)), state

    def after_rollback(self, now: GuardState, then: GuardState) -> GuardState:
        """GuardState for a run put back to a snapshot: its statistics, today's count, and a gentler learning rate."""
        n_lr_decays = min(max(now.n_lr_decays, then.n_lr_decays) + 1, self.max_lr_decays)
        return GuardState(n_lr_decays=n_lr_decays, rollbacks=now.rollbacks + 1, running=then.running)

    def _answer(self, severity: Severity, state: GuardState) -> tuple[Action, GuardState]:
        state = state._replace(n_healthy=0, n_unhealthy=state.n_unhealthy + 1)
        if severity is Severity.ROLL_BACK or state.n_unhealthy >= self.patience:
            return Action.ROLLED_BACK, state
        if severity is Severity.REINITIALISE:
            return Action.REINITIALISED, state
        waited = state.n_lr_decays == 0 or state.since_lowered >= self.cooldown
        may_ease = state.n_lr_decays < self.max_lr_decays and waited and state.n_unhealthy >= self.lower_after
        if severity is Severity.LOWER_LR and may_ease:
            return Action.LR_LOWERED, state._replace(n_lr_decays=state.n_lr_decays + 1, since_lowered=0)
        return Action.WATCHED, state

    def _after_healthy(self, state: GuardState) -> tuple[Action, GuardState]:
        n_healthy = state.n_healthy + 1
        state = state._replace(n_healthy=n_healthy, n_unhealthy=state.n_unhealthy if n_healthy < self.cooldown else 0)
        if state.n_lr_decays and n_healthy >= self.restore_after * 2 ** max(state.rollbacks - 1, 0):
            return Action.LR_RESTORED, state._replace(n_lr_decays=state.n_lr_decays - 1, n_healthy=0)
        return Action.HEALTHY, state
