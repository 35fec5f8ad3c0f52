"""Healthy snapshots of training, for the guard to roll back to."""

from ebmnist.training.instability import Signal, not_finite_in
from ebmnist.training.state import Snapshot, TrainState


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
