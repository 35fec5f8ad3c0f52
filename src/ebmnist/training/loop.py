"""The training loop: an iterator of records and decisions. Logging, saving and pictures stay with the caller."""

from collections import deque
from collections.abc import Iterator

from torch import Tensor

from ebmnist.data.batches import Batches
from ebmnist.random import Purpose
from ebmnist.training.base import Action, Decision, StepRecord
from ebmnist.training.chain_repair import replace_invalid
from ebmnist.training.guard import Diverged
from ebmnist.training.snapshots import Snapshots
from ebmnist.training.state import Snapshot, TrainState
from ebmnist.training.step import train_step


def fit(state: TrainState, images: Tensor) -> Iterator[tuple[StepRecord, Decision]]:
    """Train `state.energy` on `images`, (N, *shape), up to `state.training.n_updates`, yielding after every update.

    Images may be uint8 pixels, (N, *shape) in 0…255, which take a quarter of the memory.
    Stop iterating at any time: `state` is whole between two updates. To go on, call `fit` again.

    Raises:
        Diverged: no action of the guard helped; `state` is then the last healthy one.
        BadInput: a batch larger than the data.
    """
    t = state.training
    batches = Batches(images, t.batch_size, state.stream_of(Purpose.BATCHES))
    snapshots, story = Snapshots(state), deque[str](maxlen=30)
    while state.step < t.n_updates:
        seen = snapshots.look(state) if t.guard.enabled else []
        record = train_step(state, batches.at(state.step))
        decision, state.guard_state = t.guard.decide(record, state.guard_state, *seen)
        if decision.action is Action.ROLLED_BACK:
            decision = _roll_back(state, snapshots.back(), decision)
            batches = Batches(images, t.batch_size, state.stream_of(Purpose.BATCHES))
        elif decision.signals:
            snapshots.candidate = None
        if decision.action is Action.REINITIALISED:
            decision = replace_invalid(state, snapshots.healthy[-1], images, decision)
        if decision.action not in (Action.HEALTHY, Action.WATCHED):
            story.append(f"  update {record.step}: {'; '.join(decision.signals) or decision.action.value}")
        yield record, decision
        if state.guard_state.rollbacks > t.guard.max_rollbacks:
            raise Diverged(
                f"training diverged: {t.guard.max_rollbacks} rollbacks were not enough. What was seen:\n"
                + "\n".join(story)
                + f"\nBack at update {state.step}, the last healthy one. Try a lower training.lr,"
                " or another seed; with a kernel of one temperature, also a higher training.objective.energy_l2."
            )


def _roll_back(state: TrainState, healthy: Snapshot, decision: Decision) -> Decision:
    """Restore everything, then take other random numbers and lower the learning rate: no falling the same way twice."""
    guard, now, stream = state.training.guard, state.guard_state, state.stream
    state.restore(healthy)
    state.guard_state = guard.after_rollback(now, state.guard_state)
    state.stream = stream + 1
    count = f"rollback {state.guard_state.rollbacks} of at most {guard.max_rollbacks}, to update {state.step}"
    return decision._replace(signals=(*decision.signals, count))
