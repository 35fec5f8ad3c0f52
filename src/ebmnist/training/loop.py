"""The training loop: an iterator of records and decisions. Logging, saving and pictures stay with the caller."""

from collections import deque
from collections.abc import Iterator

from torch import Tensor

from ebmnist.data.batches import Batches
from ebmnist.random import Purpose
from ebmnist.sampling.start.replay import ReplayBuffer
from ebmnist.training.base import Action, Decision, StepRecord
from ebmnist.training.guard import Diverged
from ebmnist.training.instability import Signal, not_finite_in
from ebmnist.training.state import Snapshot, TrainState
from ebmnist.training.step import train_step


def fit(state: TrainState, images: Tensor) -> Iterator[tuple[StepRecord, Decision]]:
    """Train `state.energy` on `images`, (N, *shape), up to `state.training.n_updates`, yielding after every update.

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
            decision = _clean(state, snapshots.healthy[-1], images, decision)
        if decision.action not in (Action.HEALTHY, Action.WATCHED):
            story.append(f"  update {record.step}: {'; '.join(decision.signals) or decision.action.value}")
        yield record, decision
        if state.guard_state.rollbacks > t.guard.max_rollbacks:
            raise Diverged(
                f"training diverged: {t.guard.max_rollbacks} rollbacks were not enough. What was seen:\n"
                + "\n".join(story)
                + f"\nBack at update {state.step}, the last healthy one. Try a lower training.lr,"
                " a higher training.objective.energy_l2 (if it has one), or another seed."
            )


class Snapshots:
    """The last healthy snapshots, oldest first, and a candidate: healthy once no signal came until the next is due."""

    def __init__(self, state: TrainState) -> None:
        self.healthy = [state.snapshot()]
        self.candidate: Snapshot | None = self.healthy[-1]
        self.used = False  # the last one was gone back to, and none has proved healthy since

    def look(self, state: TrainState) -> list[Signal]:
        """Take a snapshot if one is due, and return what is wrong with it: chains not drawn lately, the average …"""
        every, last = state.training.guard.snapshot_every, self.candidate
        if state.guard_state.n_unhealthy or (last is not None and state.step < last.facts["step"] + every):
            return []
        if last is not None and last is not self.healthy[-1]:
            self.healthy, self.used = [*self.healthy[-2:], last], False
        self.candidate = state.snapshot()
        return not_finite_in(self.candidate.tensors)

    def back(self) -> Snapshot:
        """Return the last healthy snapshot; the one before if that was no cure."""
        if self.used and len(self.healthy) > 1:
            self.healthy.pop()
        self.candidate, self.used = self.healthy[-1], True
        return self.healthy[-1]


def _roll_back(state: TrainState, healthy: Snapshot, decision: Decision) -> Decision:
    """Restore everything, then take other random numbers and lower the learning rate: no falling the same way twice."""
    guard, now, stream = state.training.guard, state.guard_state, state.stream
    state.restore(healthy)
    state.guard_state = guard.after_rollback(now, state.guard_state)
    state.stream = stream + 1
    count = f"rollback {state.guard_state.rollbacks} of at most {guard.max_rollbacks}, to update {state.step}"
    return decision._replace(signals=(*decision.signals, count))


def _clean(state: TrainState, healthy: Snapshot, images: Tensor, decision: Decision) -> Decision:
    """Replace the chains that are not finite, stuck at the clamp, or copies of one another."""
    if not isinstance(state.start, ReplayBuffer):
        return decision._replace(action=Action.WATCHED)  # no chain outlives its update
    chains = state.start.images.flatten(1)
    invalid = ~chains.isfinite().all(1)
    if state.kernel.clamp is not None:
        low, high = state.kernel.clamp
        margin = 0.01 * (high - low)
        invalid |= ((chains <= low + margin) | (chains >= high - margin)).all(1)
    # Copies have the same mean intensity: sorted by it, they are neighbours, closer than real images.
    order = chains.sum(1).argsort()
    real = images[: len(chains)].flatten(1)
    near = state.training.guard.limits.diversity * (real[1:] - real[:-1]).norm(dim=1).median()
    copies = (chains[order[1:]] - chains[order[:-1]]).norm(dim=1) < near
    invalid[order[1:]] |= copies
    invalid[order[:-1]] |= copies
    saved = {k.removeprefix("start."): v for k, v in healthy.tensors.items() if k.startswith("start.")}
    state.start.replace(invalid, saved if len(saved["images"]) else None, state.rng_of(Purpose.REPLACEMENT))
    n = int(invalid.sum())
    words = (*decision.signals, f"{n} of {len(chains)} chains replaced")
    return Decision(Action.REINITIALISED if n else Action.WATCHED, words)
