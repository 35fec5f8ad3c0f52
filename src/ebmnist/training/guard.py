"""The guard: after every update it judges the run, and answers trouble with the mildest thing that mends it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from ebmnist.errors import BadInput
from ebmnist.training.base import Judgement, StepRecord, Verdict
from ebmnist.training.limits import Limits
from ebmnist.training.running import Running
from ebmnist.training.signals import Severity, Signal, signals_in


class Diverged(RuntimeError):
    """Training failed after every answer the guard has; the message is a report of what was seen."""


class Memory(NamedTuple):
    """What the guard remembers between updates. Plain numbers: it travels in the checkpoint."""

    ease: int = 0  # easings in force
    calm: int = 0  # healthy updates in a row
    trouble: int = 0  # troubled updates since it was last calm for `cooldown` updates in a row
    since_eased: int = 0  # updates since `ease` last rose
    rollbacks: int = 0
    running: Running = Running()


@dataclass(frozen=True)
class Guard:
    """When the guard answers, and how far it goes.

    Answers, mildest first: lower the learning rate and raise the regularisation (and relax both after a calm
    stretch); replace rotten chains; roll back to the last healthy snapshot with a new random stream; raise `Diverged`.

    Raises:
        BadInput: a field out of its range.
    """

    enabled: bool = True
    """False: record, judge nothing, mend nothing (to see what happens without)."""
    ease_factor: float = 0.5
    """Each easing multiplies the learning rate by this and divides it into the regularisation; in (0, 1)."""
    max_ease: int = 6
    """Easings in force at once, at most."""
    cooldown: int = 10
    """Updates between two easings, for the first to act; and healthy updates in a row that end a trouble."""
    calm_after: int = 100
    """Healthy updates in a row after which one easing is taken back; twice as many for each rollback but the first:
    a run that fell again where it was let go is let go later."""
    ease_after: int = 2
    """Troubled updates, counted as for `patience`, from which on easing answers; the clip sees to a lone spike."""
    patience: int = 20
    """Troubled updates, with no `cooldown` healthy ones in a row between them, after which the answer is a rollback."""
    snapshot_every: int = 50
    """Updates between snapshots; one counts as healthy when no signal came up to the next."""
    max_rollbacks: int = 8
    """Rollbacks in a run; one more raises `Diverged`."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 < self.ease_factor < 1:
            raise BadInput(f"guard: ease_factor must be in (0, 1), not {self.ease_factor}")
        counts = (self.cooldown, self.calm_after, self.ease_after, self.patience, self.snapshot_every)
        if min(counts) < 1 or min(self.max_ease, self.max_rollbacks) < 0:
            raise BadInput("guard: ease_after, cooldown, calm_after, patience, snapshot_every must be ≥ 1, caps ≥ 0")

    def lr_factor(self, memory: Memory) -> float:
        """What the learning rate is multiplied by now."""
        return float(self.ease_factor**memory.ease)

    def regularisation(self, memory: Memory) -> float:
        """What the energy regulariser is multiplied by now."""
        return 1 / self.lr_factor(memory)

    def judge(self, record: StepRecord, memory: Memory, *seen: Signal) -> tuple[Judgement, Memory]:
        """Return the verdict on one update and what to remember. Changes nothing: `fit` carries the answer out.

        `seen` are signals that come from elsewhere than the record.
        """
        if not self.enabled:
            return Judgement(Verdict.HEALTHY), memory
        # The regulariser's scale for |E|, 1/(2λ), is the one before easing: energies follow a new λ only slowly.
        l2 = record.energy_l2 / self.regularisation(memory)
        natural = 0.5 / l2 if l2 > 0 else 0.0
        signals = [*signals_in(record, memory.running, self.limits, natural), *seen]
        worst = max((signal.severity for signal in signals), default=Severity.WATCH)
        if worst < Severity.CLEAN:
            running = memory.running.after(record, settling=self.limits.settling)
            memory = memory._replace(running=running)
        memory = memory._replace(since_eased=memory.since_eased + 1)
        verdict, memory = self._answer(worst, memory) if signals else self._calm(memory)
        return Judgement(verdict, tuple(signal.words for signal in signals)), memory

    def after_rollback(self, now: Memory, then: Memory) -> Memory:
        """Memory for a run put back to a snapshot: its statistics, today's count, and a gentler learning rate."""
        ease = min(max(now.ease, then.ease) + 1, self.max_ease)
        return Memory(ease=ease, rollbacks=now.rollbacks + 1, running=then.running)

    def _answer(self, severity: Severity, memory: Memory) -> tuple[Verdict, Memory]:
        memory = memory._replace(calm=0, trouble=memory.trouble + 1)
        if severity is Severity.ROLL_BACK or memory.trouble >= self.patience:
            return Verdict.ROLLED_BACK, memory
        if severity is Severity.CLEAN:
            return Verdict.CLEANED, memory
        waited = memory.ease == 0 or memory.since_eased >= self.cooldown
        may_ease = memory.ease < self.max_ease and waited and memory.trouble >= self.ease_after
        if severity is Severity.EASE and may_ease:
            return Verdict.EASED, memory._replace(ease=memory.ease + 1, since_eased=0)
        return Verdict.WATCHED, memory

    def _calm(self, memory: Memory) -> tuple[Verdict, Memory]:
        calm = memory.calm + 1
        memory = memory._replace(calm=calm, trouble=memory.trouble if calm < self.cooldown else 0)
        if memory.ease and calm >= self.calm_after * 2 ** max(memory.rollbacks - 1, 0):
            return Verdict.RELAXED, memory._replace(ease=memory.ease - 1, calm=0)
        return Verdict.HEALTHY, memory
