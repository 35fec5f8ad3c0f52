"""The guard's judgements on made-up records, and its answers to real faults in a small real training."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from test_running import RECORD, USUAL
from torch import Tensor

from ebmnist.energy import MLP
from ebmnist.errors import BadInput
from ebmnist.sampling import FromNoise, Langevin, ReplayBuffer
from ebmnist.training import (
    ContrastiveDivergence,
    Diverged,
    Guard,
    Judgement,
    Snapshot,
    StepRecord,
    Training,
    TrainState,
    Verdict,
    fit,
)
from ebmnist.training.guard import Memory
from ebmnist.training.limits import Limits
from ebmnist.training.loop import Snapshots
from ebmnist.training.signals import Severity, Signal
from faults import FAULTS, Fault, buffer_at_clamp, nan_in_buffer, nan_in_gradient, nan_in_weight

# --- Judgements on made-up records ---------------------------------------------------------------------------------

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
    guard = Guard(cooldown=3, max_ease=2, patience=100)
    said, memory = verdicts(guard, [SPIKE] * 10)
    assert said == "EWWEWWWWWW"
    assert guard.lr_factor(memory) == 0.25
    assert guard.regularisation(memory) == 4.0


def test_a_cap_of_zero_never_eases() -> None:
    guard = Guard(max_ease=0, max_rollbacks=0, patience=3)
    said, memory = verdicts(guard, [SPIKE] * 3)
    assert said == "WWR"
    assert guard.after_rollback(memory, SETTLED).ease == 0


def test_calm_takes_the_easings_back_one_by_one() -> None:
    guard = Guard(cooldown=1, calm_after=4)
    said, memory = verdicts(guard, [SPIKE] * 2 + [RECORD] * 9)
    assert said == "EEHHHLHHHLH"
    assert guard.lr_factor(memory) == guard.regularisation(memory) == 1.0


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


# --- Answers in a real training ------------------------------------------------------------------------------------

GUARD = Guard(snapshot_every=10, calm_after=25, patience=12, cooldown=5, limits=Limits(settling=25))
WARM = 40  # updates before a fault


def bumps(n: int = 256) -> Tensor:
    """Return n images of one bright spot each, (n, 1, 8, 8)."""
    centre = 1 + 5 * torch.rand(n, 2, 1, 1, generator=torch.Generator().manual_seed(1))
    grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"))
    return torch.exp(-0.5 * (grid - centre).square().sum(1)).unsqueeze(1)


def make_state(guard: Guard = GUARD, start: ReplayBuffer | FromNoise | None = None) -> TrainState:
    torch.manual_seed(0)
    return TrainState(
        MLP(64, width=32, depth=2),
        Training(n_updates=10_000, batch_size=32, n_steps=6, lr=3e-3, guard=guard),
        kernel=Langevin(),
        start=start or ReplayBuffer(256),
        objective=ContrastiveDivergence(),
    )


@pytest.fixture(scope="module")
def warm() -> Snapshot:
    """A healthy run's state after `WARM` updates, none of which gave a signal."""
    state = make_state()
    for record, judgement in fit(state, bumps()):
        assert judgement == Judgement(Verdict.HEALTHY)
        if record.step == WARM:
            break
    return state.snapshot()


def warmed(warm: Snapshot, guard: Guard = GUARD) -> tuple[TrainState, Iterator[tuple[StepRecord, Judgement]]]:
    """Return a run that has just made `WARM` + 3 updates."""
    state = make_state(guard)
    state.restore(warm)
    run = fit(state, bumps())
    for _ in range(3):
        next(run)
    return state, run


def until_diverged(run: Iterator[tuple[StepRecord, Judgement]], fault: Callable[[], None]) -> tuple[str, Diverged]:
    """Inject the fault before every update; return the verdicts' initials and what was raised in the end."""
    said = ""
    try:
        for _ in range(100):
            fault()
            said += next(run)[1].verdict.name[0]
    except Diverged as diverged:
        return said, diverged
    raise AssertionError(f"100 updates, and no end: {said}")


def all_finite(state: TrainState) -> bool:
    return all(bool(v.isfinite().all()) for v in state.snapshot().tensors.values())


def spread(x: Tensor) -> Tensor:
    return (x[1:] - x[:-1]).flatten(1).norm(dim=1).mean()


# Each fault's gravest answer, and within how many updates it comes.
ANSWERS = {
    "nan_in_weight": (Verdict.ROLLED_BACK, 1),
    "nan_in_gradient": (Verdict.EASED, 1),
    "nan_in_buffer": (Verdict.CLEANED, 1),
    "nan_in_optimiser": (Verdict.ROLLED_BACK, 1),
    "nan_in_average": (Verdict.ROLLED_BACK, GUARD.snapshot_every),
    "lr_times_100": (Verdict.ROLLED_BACK, 2),
    "energy_times_1000": (Verdict.ROLLED_BACK, 1),
    "dead_energy": (Verdict.ROLLED_BACK, GUARD.patience),
    "one_image_in_buffer": (Verdict.CLEANED, 1),
    "buffer_at_clamp": (Verdict.CLEANED, 1),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_faulty_run_is_healthy_again(fault: Fault, warm: Snapshot) -> None:
    answer, within = ANSWERS[fault.name]
    state, run = warmed(warm)
    fault.inject(state)
    judged = [next(run)[1] for _ in range(within)]
    assert answer in {judgement.verdict for judgement in judged}

    # The answer was carried out, all of it.
    if answer is Verdict.ROLLED_BACK:
        assert state.step <= WARM + 3
        assert state.stream == 1
    if answer is Verdict.CLEANED:
        assert "chains replaced" in judged[-1].signals[-1]
    else:
        assert state.lr == pytest.approx(state.training.lr / 2)
        assert state.training.guard.regularisation(state.memory) == pytest.approx(2.0)
    assert all_finite(state)

    # Healthy within a few updates, and from then on; the learning rate comes back when it has been calm.
    for _ in range(10):
        next(run)
    later = [next(run) for _ in range(GUARD.calm_after)]
    assert {judgement.verdict for _, judgement in later} <= {Verdict.HEALTHY, Verdict.RELAXED}
    assert state.lr == state.training.lr
    assert all_finite(state)
    assert later[-1][0].energy_max < 1.0  # as before the fault
    assert state.memory.rollbacks <= 1
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


def test_a_rollback_restores_everything_to_the_bit_but_stream_and_easing(warm: Snapshot) -> None:
    state, run = warmed(warm)
    nan_in_weight(state)
    _, judgement = next(run)
    assert judgement.signals == ("a weight is not finite", f"rollback 1 of at most 8, to update {WARM}")
    back = state.snapshot()
    assert back.tensors.keys() == warm.tensors.keys()
    for name, value in back.tensors.items():
        assert torch.equal(value, warm.tensors[name]) != (name == "rng"), name
    assert back.facts["step"] == WARM
    assert back.facts["stream"] == warm.facts["stream"] + 1
    assert back.facts["guard"]["running"] == warm.facts["guard"]["running"]
    assert (state.memory.ease, state.memory.rollbacks) == (1, 1)


def test_after_a_rollback_batches_and_noise_are_others(warm: Snapshot) -> None:
    state, run = warmed(warm)
    before = state.snapshot()
    nan_in_weight(state)
    next(run)
    record, _ = next(run)
    state.restore(warm)
    again, _ = next(fit(state, bumps()))
    assert record.step == again.step == WARM + 1
    assert record.energy_pos != again.energy_pos  # of the same weights, on another batch
    assert before.facts["step"] == WARM + 3


def test_a_fault_that_comes_back_diverges_with_a_report(warm: Snapshot) -> None:
    state, run = warmed(warm, Guard(snapshot_every=10, max_rollbacks=2, limits=Limits(settling=25)))
    said, caught = until_diverged(run, lambda: nan_in_weight(state))
    assert said == "RRR"
    report = str(caught)
    assert report.startswith("training diverged: 2 rollbacks were not enough")
    assert report.count("a weight is not finite") == 3
    assert f"Back at update {WARM}" in report
    assert "lower training.lr" in report
    with torch.no_grad():
        for p in state.energy.parameters():
            p.nan_to_num_()  # the fault strikes once more before the report is raised
    assert all_finite(state)


def test_a_gradient_that_stays_nan_diverges_and_leaves_the_weights_whole(warm: Snapshot) -> None:
    guard = Guard(patience=4, max_rollbacks=1, limits=Limits(settling=25))
    state, run = warmed(warm, guard)
    said, caught = until_diverged(run, lambda: nan_in_gradient(state))
    assert said == "EWWRWWWR"
    assert "the loss or its weight gradient is not finite" in str(caught)
    assert state.step == WARM
    assert all_finite(state)


def test_a_snapshot_taken_in_trouble_is_never_the_healthy_one(warm: Snapshot) -> None:
    """One-image buffers come just before snapshots are due: none of these may be what a later rollback restores."""
    state, run = warmed(warm)
    for _ in range(4):
        buffer_at_clamp(state)
        while state.step % GUARD.snapshot_every != GUARD.snapshot_every - 1:
            next(run)
        buffer_at_clamp(state)
        assert next(run)[1].verdict is Verdict.CLEANED
    nan_in_weight(state)
    assert next(run)[1].signals[-1] == f"rollback 1 of at most 8, to update {WARM}"


def test_snapshots_prove_healthy_one_interval_later(warm: Snapshot) -> None:
    state, run = warmed(warm)
    while state.step < WARM + 25:
        next(run)
    nan_in_weight(state)
    assert next(run)[1].signals[-1].endswith(f"to update {WARM + 10}")


def test_a_broken_chain_in_a_snapshot_is_found_before_it_is_drawn(warm: Snapshot) -> None:
    state, run = warmed(warm)
    while state.step < WARM + 10:
        next(run)
    assert isinstance(state.start, ReplayBuffer)
    state.start.images[:1] = torch.nan  # 1 of 256, 32 of which are drawn: missed more often than not
    record, judgement = next(run)
    assert record.finite_images == 1.0
    assert judgement.verdict is Verdict.CLEANED
    assert judgement.signals[0] == "start.images is not finite"
    assert all_finite(state)


def test_a_second_rollback_goes_further_back(warm: Snapshot) -> None:
    state = make_state()
    state.restore(warm)
    snapshots = Snapshots(state)
    for step in range(WARM, WARM + 60):
        state.step = step
        assert snapshots.look(state) == []
    assert [s.facts["step"] for s in snapshots.healthy] == [WARM + 20, WARM + 30, WARM + 40]
    assert [snapshots.back().facts["step"] - WARM for _ in range(4)] == [40, 30, 20, 20]
    state.step = WARM + 30
    snapshots.look(state)
    state.step = WARM + 40
    snapshots.look(state)
    assert [snapshots.back().facts["step"] - WARM for _ in range(2)] == [30, 20]


def test_chains_without_a_buffer_have_nothing_to_replace() -> None:
    state = make_state(Guard(limits=Limits(diversity=1e6)), start=FromNoise())
    _, judgement = next(fit(state, bumps()))
    assert judgement.verdict is Verdict.WATCHED
    assert "collapsed" in judgement.signals[0]


def test_replaced_chains_come_from_the_same_slots_of_the_healthy_snapshot(warm: Snapshot) -> None:
    state, run = warmed(warm)
    nan_in_buffer(state)
    next(run)
    assert isinstance(state.start, ReplayBuffer)
    same = (state.start.images[::4] == warm.tensors["start.images"][::4]).flatten(1).all(1)
    assert same.all()
    assert torch.equal(state.start.age[::4], warm.tensors["start.age"][::4])


def test_before_any_chain_was_healthy_they_are_replaced_by_noise() -> None:
    state = make_state()
    run = fit(state, bumps())
    next(run)
    nan_in_buffer(state)
    assert next(run)[1].verdict is Verdict.CLEANED
    assert isinstance(state.start, ReplayBuffer)
    assert all_finite(state)
    assert not state.start.age[::4].any()


def test_a_guard_off_lets_nan_through_for_good(warm: Snapshot) -> None:
    state, run = warmed(warm, Guard(enabled=False))
    nan_in_gradient(state)
    records = [next(run) for _ in range(10)]
    assert all(math.isnan(record.weight_norm) for record, _ in records)
    assert {judgement for _, judgement in records} == {Judgement(Verdict.HEALTHY)}
