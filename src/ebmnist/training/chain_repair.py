"""Replacing invalid chains of the replay buffer."""

from torch import Tensor

from ebmnist.data.base import as_images
from ebmnist.random import Purpose
from ebmnist.sampling.start.replay import ReplayBuffer
from ebmnist.training.base import Action, Decision
from ebmnist.training.state import Snapshot, TrainState


def replace_invalid(state: TrainState, healthy: Snapshot, images: Tensor, decision: Decision) -> Decision:
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
    real = as_images(images[: len(chains)]).flatten(1)
    near = state.training.guard.limits.diversity * (real[1:] - real[:-1]).norm(dim=1).median()
    copies = (chains[order[1:]] - chains[order[:-1]]).norm(dim=1) < near
    invalid[order[1:]] |= copies
    invalid[order[:-1]] |= copies
    saved = {k.removeprefix("start."): v for k, v in healthy.tensors.items() if k.startswith("start.")}
    state.start.replace(invalid, saved if len(saved["images"]) else None, state.rng_of(Purpose.REPLACEMENT))
    n = int(invalid.sum())
    words = (*decision.signals, f"{n} of {len(chains)} chains replaced")
    return Decision(Action.REINITIALISED if n else Action.WATCHED, words)
