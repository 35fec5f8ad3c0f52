"""The guard's answers to faults in a small real training; `benchmarks/guard.py` shows them on MNIST."""

import math

import pytest

from ebmnist.sampling import ReplayBuffer
from ebmnist.training import Action, Decision, Guard, Snapshot
from faults import FAULTS, Fault, nan_in_gradient
from toy_run import ANSWERS, GUARD, WARM, all_finite, bumps, spread, warmed


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_faulty_run_is_healthy_again(fault: Fault, warm: Snapshot) -> None:
    answer, within = ANSWERS[fault.name]
    state, run = warmed(warm)
    fault.inject(state)
    judged = [next(run)[1] for _ in range(within)]
    assert answer in {decision.action for decision in judged}

    # The answer was carried out, all of it.
    if answer is Action.ROLLED_BACK:
        assert state.step <= WARM + 3
        assert state.stream == 1
    if answer is Action.REINITIALISED:
        assert "chains replaced" in judged[-1].signals[-1]
    elif answer is not Action.WATCHED:  # that one update was skipped, and is all it takes
        assert state.lr == pytest.approx(state.training.lr / 2)
        assert state.training.guard.regularisation(state.guard_state) == pytest.approx(2.0)
    assert all_finite(state)

    # Healthy within a few updates, and from then on; the learning rate comes back when it has been calm.
    for _ in range(10):
        next(run)
    later = [next(run) for _ in range(GUARD.restore_after)]
    assert {decision.action for _, decision in later} <= {Action.HEALTHY, Action.LR_RESTORED}
    assert state.lr == state.training.lr
    assert all_finite(state)
    assert later[-1][0].energy_max < 1.0  # as before the fault
    assert state.guard_state.rollbacks <= 1
    assert isinstance(state.start, ReplayBuffer)
    assert spread(state.start.images) > 0.6 * spread(bumps())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_without_the_guard_each_fault_bites(fault: Fault, warm: Snapshot) -> None:
    """Were it not so, the tests above could not fail."""
    state, run = warmed(warm, Guard(enabled=False))
    fault.inject(state)
    records = [next(run)[0] for _ in range(5)]
    if fault.name.startswith("nan"):
        assert not all_finite(state)
    bites = {
        "lr_times_100": max(record.weight_grad_norm for record in records) > 20 * records[0].weight_grad_norm,
        "energy_times_1000": max(record.energy_max for record in records) > 10,
        "dead_energy": records[-1].grad_norm == 0,
        "one_image_in_buffer": records[0].diversity < 0.25,
        "buffer_at_clamp": records[0].diversity < 0.25,
    }
    assert bites.get(fault.name, True)


def test_a_guard_off_lets_nan_through_for_good(warm: Snapshot) -> None:
    state, run = warmed(warm, Guard(enabled=False))
    nan_in_gradient(state)
    records = [next(run) for _ in range(10)]
    assert all(math.isnan(record.weight_norm) for record, _ in records)
    assert {decision for _, decision in records} == {Decision(Action.HEALTHY)}
