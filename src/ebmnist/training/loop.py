"""The training loop: an iterator of records and judgements. Logging, saving and pictures stay with the caller."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ebmnist.data.batches import Batches
from ebmnist.sampling.start.replay import ReplayBuffer
from ebmnist.training.base import Judgement, StepRecord, Verdict
from ebmnist.training.guard import Diverged
from ebmnist.training.state import Snapshot, TrainState
from ebmnist.training.step import train_step


def fit(state: TrainState, images: Tensor) -> Iterator[tuple[StepRecord, Judgement]]:
    """Train `state.energy` on `images`, (N, *shape), up to `state.training.n_updates`, yielding after every update.

    Stop iterating at any time: `state` is whole between two updates. To go on, call `fit` again.

    Raises:
        Diverged: trouble outlasted every answer of the guard.
        BadInput: a batch larger than the data.
    """
    t = state.training
    healthy = candidate = state.snapshot()
    batches = Batches(images, t.batch_size, state.stream_seed)
    recent: list[str] = []
    while state.step < t.n_updates:
        record = train_step(state, batches.at(state.step))
        judgement, state.memory = t.guard.judge(record, state.memory)
        match judgement.verdict:
            case Verdict.CLEANED:
                _clean(state, healthy)
            case Verdict.ROLLED_BACK:
                _roll_back(state, healthy, record, judgement, recent)
                batches = Batches(images, t.batch_size, state.stream_seed)
                candidate = healthy
        yield record, judgement
        # A snapshot proves healthy when the next one comes without a signal in between.
        if t.guard.enabled and state.step % t.guard.snapshot_every == 0:
            if state.memory.calm >= t.guard.snapshot_every:
                healthy = candidate
            candidate = state.snapshot()


def _clean(state: TrainState, healthy: Snapshot) -> None:
    """Replace the chains that are not finite, stuck at the clamp, or copies of one another."""
    if not isinstance(state.start, ReplayBuffer):
        return
    images = state.start.images.flatten(1)
    rotten = ~images.isfinite().all(1)
    if state.kernel.clamp is not None:
        low, high = state.kernel.clamp
        rotten |= ((images <= low) | (images >= high)).float().mean(1) > 0.99
    # Two chains this close, by chance pairing, are one chain: distances between images are around 10.
    partner = torch.randperm(len(images), generator=state.rng, device=images.device)
    distance = (images - images[partner]).norm(dim=1)
    rotten |= (distance < 0.1 * images[0].numel() ** 0.5 * 0.5) & (
        partner != torch.arange(len(images), device=images.device)
    )
    saved = {k.removeprefix("start."): v for k, v in healthy.tensors.items() if k.startswith("start.")}
    state.start.replace(rotten, saved if len(saved["images"]) else None, state.rng)


def _roll_back(
    state: TrainState, healthy: Snapshot, record: StepRecord, judgement: Judgement, recent: list[str]
) -> None:
    """Restore everything, then change the random stream and lower the learning rate: no falling the same way twice."""
    guard, now, stream = state.training.guard, state.memory, state.stream
    recent.append(f"  update {record.step}: {'; '.join(judgement.signals)}")
    if now.rollbacks >= guard.max_rollbacks:
        raise Diverged(
            f"training diverged: {now.rollbacks} rollbacks were not enough. What was seen:\n"
            + "\n".join(recent)
            + f"\nLast healthy update: {healthy.facts['step']}. Try a lower training.lr, a higher"
            " training.objective.energy_l2, or another seed."
        )
    state.restore(healthy)
    state.memory = guard.after_rollback(now, state.memory)
    state.new_stream(stream + 1)
