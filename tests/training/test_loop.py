"""How `fit` carries the guard's answers out: rollback, snapshots, cleaning, giving up."""

import torch

from ebmnist.energies import ConvNet
from ebmnist.sampling import FromNoise, ReplayBuffer
from ebmnist.training import Action, Guard, Snapshot, fit
from ebmnist.training.limits import Limits
from ebmnist.training.loop import Snapshots
from faults import buffer_at_clamp, nan_in_buffer, nan_in_gradient, nan_in_weight
from toy_run import GUARD, WARM, all_finite, bumps, make_state, until_diverged, warmed
from toys import toy_state


def test_a_rollback_restores_everything_to_the_bit_but_stream_and_rate(warm: Snapshot) -> None:
    state, run = warmed(warm)
    nan_in_weight(state)
    _, decision = next(run)
    assert decision.signals == ("a weight is not finite", f"rollback 1 of at most 8, to update {WARM}")
    back = state.snapshot()
    assert back.tensors.keys() == warm.tensors.keys()
    for name, value in back.tensors.items():
        assert torch.equal(value, warm.tensors[name]) != (name == "rng"), name
    assert back.facts["step"] == WARM
    assert back.facts["stream"] == warm.facts["stream"] + 1
    assert back.facts["guard"]["running"] == warm.facts["guard"]["running"]
    assert (state.guard_state.n_lr_decays, state.guard_state.rollbacks) == (1, 1)


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
    assert said == "WLWRWWWR"
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
        assert next(run)[1].action is Action.REINITIALISED
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
    record, decision = next(run)
    assert record.finite_images == 1.0
    assert decision.action is Action.REINITIALISED
    assert decision.signals[0] == "start.images is not finite"
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
    _, decision = next(fit(state, bumps()))
    assert decision.action is Action.WATCHED
    assert "collapsed" in decision.signals[0]


def test_replaced_chains_come_from_the_same_slots_of_the_healthy_snapshot(warm: Snapshot) -> None:
    state, run = warmed(warm)
    nan_in_buffer(state)
    next(run)
    assert isinstance(state.start, ReplayBuffer)
    same = (state.start.images[::4] == warm.tensors["start.images"][::4]).flatten(1).all(1)
    assert same.all()
    assert torch.equal(state.start.age[::4], warm.tensors["start.age"][::4])


def test_before_any_chain_was_healthy_they_are_replaced_by_noise() -> None:
    state = make_state(start=ReplayBuffer(256, 0.0))  # none of them restarts by itself
    run = fit(state, bumps())
    next(run)
    nan_in_buffer(state)
    assert next(run)[1].action is Action.REINITIALISED
    assert isinstance(state.start, ReplayBuffer)
    assert all_finite(state)
    assert not state.start.age[::4].any()


def test_training_on_bytes_gives_the_bits_of_training_on_their_images() -> None:
    pixels = torch.arange(24 * 784).remainder(251).byte().view(24, 1, 28, 28)
    ended = []
    for images in (pixels, pixels / 255):
        torch.manual_seed(0)
        guard = Guard(limits=Limits(diversity=1e6))  # chains are replaced after each update
        state = toy_state(ConvNet(width=2), n_updates=3, batch_size=8, n_steps=1, guard=guard)
        decisions = [decision for _, decision in fit(state, images)]
        assert any(decision.action is Action.REINITIALISED for decision in decisions)
        ended.append(state.snapshot().tensors)
    assert all(torch.equal(value, ended[1][name]) for name, value in ended[0].items())
