"""A run that has been healthy for a while, to inject faults into."""

import pytest

from ebmnist.training import Action, Decision, Snapshot, fit
from toy_run import WARM, bumps, make_state


@pytest.fixture(scope="session")
def warm() -> Snapshot:
    """A healthy run's state after `WARM` updates, none of which gave a signal."""
    state = make_state()
    for record, decision in fit(state, bumps()):
        assert decision == Decision(Action.HEALTHY)
        if record.step == WARM:
            break
    return state.snapshot()
