"""The guard's decisions on made-up records."""

import pytest

from ebmnist.errors import BadInput
from ebmnist.training import Action, Decision, Guard, StepRecord
from ebmnist.training.guard import GuardState
from ebmnist.training.instability import Severity, Signal
from records import RECORD, USUAL

SETTLED = GuardState(running=USUAL)
SPIKE = RECORD._replace(weight_grad_norm=100.0)
STILL = RECORD._replace(displacement=0.0)
BLOWN_UP = RECORD._replace(energy_max=1e6)


def actions(guard: Guard, records: list[StepRecord], memory: GuardState = SETTLED) -> tuple[str, GuardState]:
    """Judge one record after the other; return the actions' initials (restored is U) and the last memory."""
    said = ""
    for record in records:
        # λ in force follows the learning rate, as in `train_step`.
        decision, memory = guard.decide(record._replace(energy_l2=0.05 * guard.regularisation(memory)), memory)
        said += "U" if decision.action is Action.LR_RESTORED else decision.action.name[0]
    return said, memory


def test_a_usual_record_is_healthy_and_teaches_what_is_usual() -> None:
    decision, memory = Guard().decide(RECORD, SETTLED)
    assert decision == Decision(Action.HEALTHY)
    assert memory.running.n_seen == USUAL.n_seen + 1


def test_instability_eases_once_per_cooldown_up_to_the_cap() -> None:
    guard = Guard(lower_after=1, cooldown=3, max_lr_decays=2, patience=100)
    said, memory = actions(guard, [SPIKE] * 10)
    assert said == "LWWLWWWWWW"
    assert guard.lr_factor(memory) == 0.25
    assert guard.regularisation(memory) == 4.0


def test_a_cap_of_zero_never_eases() -> None:
    guard = Guard(max_lr_decays=0, max_rollbacks=0, patience=3)
    said, memory = actions(guard, [SPIKE] * 3)
    assert said == "WWR"
    assert guard.after_rollback(memory, SETTLED).n_lr_decays == 0


def test_a_lone_spike_is_left_to_the_clip() -> None:
    guard = Guard(cooldown=3)
    assert actions(guard, [SPIKE, *[RECORD] * 3, SPIKE])[0] == "WHHHW"
    assert actions(guard, [SPIKE, *[RECORD] * 2, SPIKE])[0] == "WHHL"


def test_healthy_updates_restore_the_rate_step_by_step() -> None:
    guard = Guard(lower_after=1, cooldown=1, restore_after=4)
    said, memory = actions(guard, [SPIKE] * 2 + [RECORD] * 9)
    assert said == "LLHHHUHHHUH"
    assert guard.lr_factor(memory) == guard.regularisation(memory) == 1.0


@pytest.mark.parametrize(("rollbacks", "restore_after"), [(0, 4), (1, 4), (2, 8), (4, 32)])
def test_a_run_that_failed_again_is_restored_later(rollbacks: int, restore_after: int) -> None:
    fallen = SETTLED._replace(n_lr_decays=1, rollbacks=rollbacks)
    said, memory = actions(Guard(restore_after=4), [RECORD] * restore_after, fallen)
    assert said == "H" * (restore_after - 1) + "U"
    assert memory.n_lr_decays == 0


def test_an_unstable_phase_that_lasts_is_rolled_back() -> None:
    assert actions(Guard(patience=5), [STILL] * 5)[0] == "WWWWR"


def test_a_flickering_phase_lasts_too_until_a_cooldown_of_healthy_updates() -> None:
    guard = Guard(patience=3, cooldown=3)
    assert actions(guard, [STILL, RECORD, RECORD] * 3)[0] == "WHHWHHRHH"
    assert actions(guard, [STILL, RECORD, RECORD, RECORD] * 3)[0] == "WHHHWHHHWHHH"


def test_the_worst_signal_decides_and_all_are_told() -> None:
    decision, _ = Guard().decide(SPIKE._replace(energy_max=1e6, diversity=0.0), SETTLED)
    assert decision.action is Action.ROLLED_BACK
    assert len(decision.signals) == 3
    decision, _ = Guard().decide(RECORD, SETTLED, Signal(Severity.REINITIALISE, "seen elsewhere"))
    assert decision == Decision(Action.REINITIALISED, ("seen elsewhere",))


def test_a_blow_up_teaches_nothing_about_what_is_usual() -> None:
    assert Guard().decide(BLOWN_UP, SETTLED)[1].running == USUAL


def test_a_lower_rate_does_not_move_the_scale_that_energies_are_compared_with() -> None:
    """|E| ≤ 5/(2λ) = 50 with the recipe's λ, also while λ is 64 times as large."""
    guard, lowered = Guard(), SETTLED._replace(n_lr_decays=6, running=USUAL._replace(energy_max=1.0))
    assert actions(guard, [RECORD._replace(energy_max=49.0)], lowered)[0] == "H"
    assert actions(guard, [RECORD._replace(energy_max=51.0)], lowered)[0] == "R"


def test_a_rollback_eases_and_counts() -> None:
    guard, now = Guard(max_lr_decays=3), SETTLED._replace(n_lr_decays=2, n_healthy=0, n_unhealthy=7, rollbacks=1)
    then = GuardState(n_lr_decays=0, n_healthy=50, running=USUAL._replace(n_seen=9))
    assert guard.after_rollback(now, then) == GuardState(n_lr_decays=3, rollbacks=2, running=then.running)
    assert guard.after_rollback(now._replace(n_lr_decays=3), then).n_lr_decays == 3


def test_off_it_decides_nothing() -> None:
    assert Guard(enabled=False).decide(BLOWN_UP, SETTLED) == (Decision(Action.HEALTHY), SETTLED)


@pytest.mark.parametrize(
    "wrong", [{"lr_decay_factor": 1.0}, {"cooldown": 0}, {"snapshot_every": 0}, {"max_rollbacks": -1}, {"patience": 0}]
)
def test_fields_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="guard: "):
        Guard(**wrong)
