"""The guard's judgements on made-up records."""

import pytest

from ebmnist.errors import BadInput
from ebmnist.training import Guard, Judgement, StepRecord, Verdict
from ebmnist.training.guard import Memory
from ebmnist.training.signals import Severity, Signal
from records import RECORD, USUAL

SETTLED = Memory(running=USUAL)
SPIKE = RECORD._replace(weight_grad_norm=100.0)
STILL = RECORD._replace(displacement=0.0)
BLOWN_UP = RECORD._replace(energy_max=1e6)


def verdicts(guard: Guard, records: list[StepRecord], memory: Memory = SETTLED) -> tuple[str, Memory]:
    """Judge one record after the other; return the verdicts' initials (relaxed is L) and the last memory."""
    said = ""
    for record in records:
        # λ in force follows the easing, as in `train_step`.
        judgement, memory = guard.judge(record._replace(energy_l2=0.05 * guard.regularisation(memory)), memory)
        said += "L" if judgement.verdict is Verdict.RELAXED else judgement.verdict.name[0]
    return said, memory


def test_a_usual_record_is_healthy_and_teaches_what_is_usual() -> None:
    judgement, memory = Guard().judge(RECORD, SETTLED)
    assert judgement == Judgement(Verdict.HEALTHY)
    assert memory.running.n_seen == USUAL.n_seen + 1


def test_instability_eases_once_per_cooldown_up_to_the_cap() -> None:
    guard = Guard(ease_after=1, cooldown=3, max_ease=2, patience=100)
    said, memory = verdicts(guard, [SPIKE] * 10)
    assert said == "EWWEWWWWWW"
    assert guard.lr_factor(memory) == 0.25
    assert guard.regularisation(memory) == 4.0


def test_a_cap_of_zero_never_eases() -> None:
    guard = Guard(max_ease=0, max_rollbacks=0, patience=3)
    said, memory = verdicts(guard, [SPIKE] * 3)
    assert said == "WWR"
    assert guard.after_rollback(memory, SETTLED).ease == 0


def test_a_lone_spike_is_left_to_the_clip() -> None:
    guard = Guard(cooldown=3)
    assert verdicts(guard, [SPIKE, *[RECORD] * 3, SPIKE])[0] == "WHHHW"
    assert verdicts(guard, [SPIKE, *[RECORD] * 2, SPIKE])[0] == "WHHE"


def test_calm_takes_the_easings_back_one_by_one() -> None:
    guard = Guard(ease_after=1, cooldown=1, calm_after=4)
    said, memory = verdicts(guard, [SPIKE] * 2 + [RECORD] * 9)
    assert said == "EEHHHLHHHLH"
    assert guard.lr_factor(memory) == guard.regularisation(memory) == 1.0


@pytest.mark.parametrize(("rollbacks", "calm_after"), [(0, 4), (1, 4), (2, 8), (4, 32)])
def test_a_run_that_fell_again_is_let_go_later(rollbacks: int, calm_after: int) -> None:
    fallen = SETTLED._replace(ease=1, rollbacks=rollbacks)
    said, memory = verdicts(Guard(calm_after=4), [RECORD] * calm_after, fallen)
    assert said == "H" * (calm_after - 1) + "L"
    assert memory.ease == 0


def test_trouble_that_lasts_is_rolled_back() -> None:
    assert verdicts(Guard(patience=5), [STILL] * 5)[0] == "WWWWR"


def test_flickering_trouble_lasts_too_until_a_cooldown_of_calm() -> None:
    guard = Guard(patience=3, cooldown=3)
    assert verdicts(guard, [STILL, RECORD, RECORD] * 3)[0] == "WHHWHHRHH"
    assert verdicts(guard, [STILL, RECORD, RECORD, RECORD] * 3)[0] == "WHHHWHHHWHHH"


def test_the_worst_signal_decides_and_all_are_told() -> None:
    judgement, _ = Guard().judge(SPIKE._replace(energy_max=1e6, diversity=0.0), SETTLED)
    assert judgement.verdict is Verdict.ROLLED_BACK
    assert len(judgement.signals) == 3
    judgement, _ = Guard().judge(RECORD, SETTLED, Signal(Severity.CLEAN, "seen elsewhere"))
    assert judgement == Judgement(Verdict.CLEANED, ("seen elsewhere",))


def test_a_blow_up_teaches_nothing_about_what_is_usual() -> None:
    assert Guard().judge(BLOWN_UP, SETTLED)[1].running == USUAL


def test_easing_does_not_move_the_scale_that_energies_are_judged_by() -> None:
    """|E| ≤ 5/(2λ) = 50 with the recipe's λ, also while λ is 64 times as large."""
    guard, eased = Guard(), SETTLED._replace(ease=6, running=USUAL._replace(energy_max=1.0))
    assert verdicts(guard, [RECORD._replace(energy_max=49.0)], eased)[0] == "H"
    assert verdicts(guard, [RECORD._replace(energy_max=51.0)], eased)[0] == "R"


def test_a_rollback_eases_and_counts() -> None:
    guard, now = Guard(max_ease=3), SETTLED._replace(ease=2, calm=0, trouble=7, rollbacks=1)
    then = Memory(ease=0, calm=50, running=USUAL._replace(n_seen=9))
    assert guard.after_rollback(now, then) == Memory(ease=3, rollbacks=2, running=then.running)
    assert guard.after_rollback(now._replace(ease=3), then).ease == 3


def test_off_it_judges_nothing() -> None:
    assert Guard(enabled=False).judge(BLOWN_UP, SETTLED) == (Judgement(Verdict.HEALTHY), SETTLED)


@pytest.mark.parametrize(
    "wrong", [{"ease_factor": 1.0}, {"cooldown": 0}, {"snapshot_every": 0}, {"max_rollbacks": -1}, {"patience": 0}]
)
def test_fields_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="guard: "):
        Guard(**wrong)
