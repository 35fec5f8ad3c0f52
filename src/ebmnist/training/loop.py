"""The training loop: an iterator of records and judgements. Logging, saving and pictures stay with the caller."""

from collections import deque
from collections.abc import Iterator

from torch import Tensor

from ebmnist.data.batches import Batches
from ebmnist.random import Purpose
from ebmnist.sampling.start.replay import ReplayBuffer
from ebmnist.training.base import Judgement, StepRecord, Verdict
from ebmnist.training.guard import Diverged
from ebmnist.training.signals import Signal, not_finite_in
from ebmnist.training.state import Snapshot, TrainState
from ebmnist.training.step import train_step


def fit(state: TrainState, images: Tensor) -> Iterator[tuple[StepRecord, Judgement]]:
    """Train `state.energy` on `images`, (N, *shape), up to `state.training.n_updates`, yielding after every update.

    Stop iterating at any time: `state` is whole between two updates. To go on, call `fit` again.

    Raises:
        Diverged: trouble outlasted every answer of the guard; `state` is then the last healthy one.
        BadInput: a batch larger than the data.
    """
    t = state.training
    batches = Batches(images, t.batch_size, state.stream_of(Purpose.BATCHES))
    snapshots, story = Snapshots(state), deque[str](maxlen=30)
    while state.step < t.n_updates:
        seen = snapshots.look(state) if t.guard.enabled else []
        record = train_step(state, batches.at(state.step))
        judgement, state.memory = t.guard.judge(record, state.memory, *seen)
        if judgement.verdict is Verdict.ROLLED_BACK:
            judgement = _roll_back(state, snapshots.back(), judgement)
            batches = Batches(images, t.batch_size, state.stream_of(Purpose.BATCHES))
        elif judgement.signals:
            snapshots.candidate = None
        if judgement.verdict is Verdict.CLEANED:
            judgement = _clean(state, snapshots.healthy[-1], images, judgement)
        if judgement.verdict not in (Verdict.HEALTHY, Verdict.WATCHED):
            story.append(f"  update {record.step}: {'; '.join(judgement.signals) or judgement.verdict.value}")
        yield record, judgement
        if state.memory.rollbacks > t.guard.max_rollbacks:
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
        if state.memory.trouble or (last is not None and state.step < last.facts["step"] + every):
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


def _roll_back(state: TrainState, healthy: Snapshot, judgement: Judgement) -> Judgement:
    """Restore everything, then take other random numbers and lower the learning rate: no falling the same way twice."""
    guard, now, stream = state.training.guard, state.memory, state.stream
    state.restore(healthy)
    state.memory = guard.after_rollback(now, state.memory)
    state.stream = stream + 1
    count = f"rollback {state.memory.rollbacks} of at most {guard.max_rollbacks}, to update {state.step}"
    return judgement._replace(signals=(*judgement.signals, count))


def _clean(state: TrainState, healthy: Snapshot, images: Tensor, judgement: Judgement) -> Judgement:
    """Replace the chains that are not finite, stuck at the clamp, or copies of one another."""
    if not isinstance(state.start, ReplayBuffer):
        return judgement._replace(verdict=Verdict.WATCHED)  # no chain outlives its update
    chains = state.start.images.flatten(1)
    rotten = ~chains.isfinite().all(1)
    if state.kernel.clamp is not None:
        low, high = state.kernel.clamp
        margin = 0.01 * (high - low)
        rotten |= ((chains <= low + margin) | (chains >= high - margin)).all(1)
    # Copies have the same ink: in that order they stand side by side, closer than real images do.
    order = chains.sum(1).argsort()
    real = images[: len(chains)].flatten(1)
    near = state.training.guard.limits.diversity * (real[1:] - real[:-1]).norm(dim=1).median()
    copies = (chains[order[1:]] - chains[order[:-1]]).norm(dim=1) < near
    rotten[order[1:]] |= copies
    rotten[order[:-1]] |= copies
    saved = {k.removeprefix("start."): v for k, v in healthy.tensors.items() if k.startswith("start.")}
    state.start.replace(rotten, saved if len(saved["images"]) else None, state.rng_of(Purpose.REPLACEMENT))
    n = int(rotten.sum())
    words = (*judgement.signals, f"{n} of {len(chains)} chains replaced")
    return Judgement(Verdict.CLEANED if n else Verdict.WATCHED, words)
