"""The training state: one definition of it, and resuming that no one can tell from not having stopped."""

import copy
import itertools
import json

import pytest
import torch
from torch import Tensor

from ebmnist.energies import MLP, ConvNet, ResNet
from ebmnist.errors import BadInput
from ebmnist.random import Purpose, Stream
from ebmnist.sampling import FromData, FromNoise, Langevin, ReplayBuffer
from ebmnist.training import Action, Guard, Schedule, Snapshot, Training, TrainState, fit
from toys import advance, ring, toy_state

ENERGIES = {
    "mlp": lambda: MLP(2, 8),
    "mlp, spectral norm": lambda: MLP(2, 8, spectral_norm=True),
    "convnet": lambda: ConvNet(width=2, precision="fp32"),
    "convnet, spectral norm": lambda: ConvNet(width=2, spectral_norm=True, precision="fp32"),
    "convnet, bf16": lambda: ConvNet(width=2, precision="bf16"),
    "resnet": lambda: ResNet(width=2, depth=2, precision="fp32"),
}


def assert_same(one: Snapshot, other: Snapshot) -> None:
    assert one.facts == other.facts
    assert one.tensors.keys() == other.tensors.keys()
    different = [name for name, value in one.tensors.items() if not torch.equal(value, other.tensors[name])]
    assert different == []


def through_a_file(snapshot: Snapshot) -> Snapshot:
    """Return what a file would give back: contiguous tensors, and facts that went through JSON."""
    tensors = {
        name: value.contiguous(memory_format=torch.contiguous_format) for name, value in snapshot.tensors.items()
    }
    return Snapshot({name: value.clone() for name, value in tensors.items()}, json.loads(json.dumps(snapshot.facts)))


def data_for(name: str, rng: torch.Generator, images: Tensor) -> Tensor:
    return ring(64, rng) if name.startswith("mlp") else images


# Resume ≡ uninterrupted, to the bit.


@pytest.mark.parametrize("name", ENERGIES)
def test_a_resumed_run_is_the_uninterrupted_one(name, rng, images):
    def state(weights_seed: int) -> TrainState:
        torch.manual_seed(weights_seed)
        schedule = Schedule("exponential", warmup=3, decay=0.5, decay_every=2)
        return toy_state(ENERGIES[name](), seed=3, lr=1e-2, schedule=schedule, kernel=Langevin())

    x = data_for(name, rng, images)
    stopped, whole, resumed = state(0), state(0), state(9)  # the resumed one begins from other weights
    advance(stopped, x, 4)
    resumed.restore(through_a_file(stopped.snapshot()))
    assert_same(resumed.snapshot(), stopped.snapshot())
    advance(resumed, x, 4)
    advance(whole, x, 8)
    assert_same(resumed.snapshot(), whole.snapshot())


def test_a_snapshot_is_a_copy_unless_the_live_tensors_are_asked_for(images):
    state = toy_state(ConvNet(width=2))
    advance(state, images, 1)
    copied, live = state.snapshot(), state.snapshot(copied=False)
    assert_same(copied, live)
    for name, value in live.tensors.items():
        assert not value.requires_grad
        value.fill_(0)
        assert state.snapshot().tensors[name].count_nonzero() == 0
    assert all(bool(value.count_nonzero()) for name, value in copied.tensors.items() if name.endswith("exp_avg"))


def test_restored_moments_have_the_weights_memory_format(images):
    """Mixed formats are the same numbers, and a slower update for the rest of the run."""
    state = toy_state(ConvNet(width=2))
    advance(state, images, 1)
    state.restore(through_a_file(state.snapshot()))
    moments = state.optimiser.moments
    strides = [(p.stride(), moments[i]["exp_avg_sq"].stride()) for i, p in enumerate(state.energy.parameters())]
    assert all(weight == moment for weight, moment in strides)


@pytest.mark.parametrize("start", [ReplayBuffer, FromNoise, FromData])
@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_records_go_on_as_if_nothing_had_happened(start, kind, rng):
    x = ring(64, rng)

    def state() -> TrainState:
        torch.manual_seed(0)
        return toy_state(start=start(), schedule=Schedule(kind), n_updates=9, lr=1e-2)

    stopped, resumed = state(), state()
    whole = [record for record, _ in fit(state(), x)]
    first = [record for record, _ in itertools.islice(fit(stopped, x), 4)]
    resumed.restore(through_a_file(stopped.snapshot()))
    second = [record for record, _ in fit(resumed, x)]
    assert len(whole) == 9
    assert [r._replace(seconds=0) for r in first + second] == [r._replace(seconds=0) for r in whole]


def test_another_seed_is_another_run(rng):
    x = ring(64, rng)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        losses.append([r.loss for r in advance(toy_state(seed=seed), x, 3)])
    assert losses[0] == losses[1]
    assert all(a != b for a, b in zip(losses[0], losses[2], strict=True))


def test_training_leaves_the_global_stream_alone(rng):
    state, before = toy_state(), torch.get_rng_state()
    advance(state, ring(64, rng), 3)
    assert torch.equal(torch.get_rng_state(), before)


# Snapshots.


def test_a_snapshot_holds_everything_by_name(rng):
    state = toy_state()
    advance(state, ring(64, rng), 2)
    names = state.snapshot().tensors.keys()
    weights = state.energy.state_dict().keys()
    assert {f"energy.{name}" for name in weights} < names
    assert {f"ema.{name}" for name in weights} < names
    assert {"start.images", "start.age", "start.step_index", "start.lineage", "start.n_born"} < names
    n = len(list(state.energy.parameters()))
    moments = {f"optimiser.{i}.{key}" for i in range(n) for key in ("step", "exp_avg", "exp_avg_sq")}
    assert moments < names
    assert len(names) == 2 * len(weights) + 5 + len(moments)


def test_later_updates_leave_a_snapshot_alone(rng):
    state, x = toy_state(), ring(64, rng)
    advance(state, x, 2)
    snapshot = state.snapshot()
    kept = copy.deepcopy(snapshot)
    advance(state, x, 2)
    assert_same(snapshot, kept)
    state.restore(snapshot)
    advance(state, x, 2)  # nor may a restored state write into it: a rollback can come twice
    assert_same(snapshot, kept)


def test_going_back_to_the_very_first_snapshot(rng):
    """Before any update there are no moments and no chains; going back there forgets them."""
    state, x = toy_state(), ring(64, rng)
    first = state.snapshot()
    advance(state, x, 3)
    after = state.snapshot()
    state.restore(first)
    assert_same(state.snapshot(), first)
    advance(state, x, 3)
    assert_same(state.snapshot(), after)


def test_the_guards_memory_is_restored():
    state = toy_state(guard=Guard(restore_after=3))
    state.guard_state = state.guard_state._replace(
        n_lr_decays=2, n_healthy=1, running=state.guard_state.running._replace(n_seen=5)
    )
    other = toy_state(guard=Guard(restore_after=3))
    other.restore(through_a_file(state.snapshot()))
    assert other.guard_state == state.guard_state
    assert other.lr == state.lr == 0.25 * state.training.lr


# The state itself.


def test_the_average_begins_at_the_weights_and_is_its_own():
    energy = MLP(2, 8, spectral_norm=True).eval()
    state = toy_state(energy)
    assert state.energy is energy
    assert energy.training  # or spectral norm would stand still while the weights grow
    assert not state.ema.training
    assert not any(p.requires_grad for p in state.ema.parameters())
    for mean, now in zip(state.ema.parameters(), energy.parameters(), strict=True):
        assert torch.equal(mean, now)
        assert mean is not now


def test_random_numbers_of_an_update_are_its_own_and_of_each_purpose():
    """A function of seed, stream, purpose and step: all that differ in one of them differ."""
    seen = {}
    for seed, stream, step in itertools.product((0, 1), (0, 1), (0, 1)):
        state = toy_state(seed=seed)
        state.stream, state.step = stream, step
        for purpose in Purpose:
            seen[seed, stream, step, purpose] = tuple(state.rng_of(purpose).normal((1, 4))[0].tolist())
        assert torch.equal(state.rng.normal((3, 4)), state.rng.normal((3, 4)))  # from the first draw on, each time
    assert len(set(seen.values())) == 8 * len(Purpose)


def test_no_two_uses_share_a_random_number(monkeypatch):
    """Every address that a run reads, with rollback and cleaning, is read once."""
    addresses, draw = [], Stream._numbers

    def noted(self, law, rows, step, shape, draw_number, dtype):
        steps = [step] * len(rows) if isinstance(step, int) else step.tolist()
        at = zip(rows.tolist(), steps, strict=True)
        addresses.extend((self.seed, self.word, row, s, draw_number) for row, s in at)
        return draw(self, law, rows, step, shape, draw_number, dtype)

    monkeypatch.setattr(Stream, "_numbers", noted)
    x = ring(64, torch.Generator().manual_seed(0))
    state = toy_state(start=ReplayBuffer(32, 0.5, from_data=0.3, corrupted_fraction=0.3), guard=Guard(snapshot_every=1))
    run = fit(state, x)
    for _ in range(3):
        next(run)
    state.start.images[5] = torch.nan
    actions = [next(run)[1].action]
    with torch.no_grad():
        next(state.energy.parameters()).fill_(torch.nan)
    actions += [next(run)[1].action for _ in range(3)]
    assert Action.ROLLED_BACK in actions
    words = {word & 0xFF for _, word, *_ in addresses}
    assert {Purpose.BUFFER, Purpose.BATCHES, Purpose.DATA_NOISE, Purpose.TRAINING_CHAINS} <= words
    assert len(set(addresses)) == len(addresses)


def test_a_snapshot_of_an_earlier_version_is_restored_without_its_generator(rng):
    state, x = toy_state(), ring(64, rng)
    advance(state, x, 2)
    now = state.snapshot()
    state.restore(now._replace(tensors=now.tensors | {"rng": torch.zeros(16, dtype=torch.uint8)}))
    assert_same(state.snapshot(), now)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(BadInput, match="seed must be a whole number from 0 to 2⁶³ − 1"):
        toy_state(seed=seed)


def test_more_steps_than_can_be_numbered_are_refused():
    Training(n_updates=2**31, n_steps=2)
    with pytest.raises(BadInput, match="n_updates · n_steps must be ≤ 2³²"):
        Training(n_updates=2**31 + 1, n_steps=2)


def test_the_learning_rate_is_base_times_schedule_times_guard():
    state = toy_state(lr=0.1, n_updates=10, schedule=Schedule("cosine"), guard=Guard(lr_decay_factor=0.5))
    assert state.lr == pytest.approx(0.1)
    state.step = 5
    assert state.lr == pytest.approx(0.05)
    state.guard_state = state.guard_state._replace(n_lr_decays=1)
    assert state.lr == pytest.approx(0.025)
