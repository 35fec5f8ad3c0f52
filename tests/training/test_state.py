"""The training state: one definition of it, and resuming that no one can tell from not having stopped."""

import copy
import itertools
import json

import pytest
import torch
from torch import Tensor

from ebmnist.energy import MLP, ConvNet, ResNet
from ebmnist.sampling import FromData, FromNoise, Langevin, ReplayBuffer
from ebmnist.training import Guard, Schedule, Snapshot, TrainState, fit
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


def test_restored_moments_have_the_weights_memory_format(images):
    """Mixed formats are the same numbers, and a slower update for the rest of the run."""
    state = toy_state(ConvNet(width=2))
    advance(state, images, 1)
    state.restore(through_a_file(state.snapshot()))
    strides = [(p.stride(), state.optimiser.state[p]["exp_avg_sq"].stride()) for p in state.energy.parameters()]
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
    assert {"start.images", "start.age", "start.clock", "start.lineage", "start.n_born", "rng"} < names
    n = len(list(state.energy.parameters()))
    moments = {f"optimiser.{i}.{key}" for i in range(n) for key in ("step", "exp_avg", "exp_avg_sq")}
    assert moments < names
    assert len(names) == 2 * len(weights) + 6 + len(moments)


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
    state = toy_state(guard=Guard(calm_after=3))
    state.memory = state.memory._replace(ease=2, calm=1, running=state.memory.running._replace(n_seen=5))
    other = toy_state(guard=Guard(calm_after=3))
    other.restore(through_a_file(state.snapshot()))
    assert other.memory == state.memory
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


def test_streams_of_neighbouring_seeds_do_not_meet():
    states = [toy_state(seed=seed) for seed in (0, 1)]
    seeds = set()
    for state in states:
        for stream in range(100):
            state.new_stream(stream)
            seeds.add(state.stream_seed)
    assert len(seeds) == 200


def test_a_new_stream_draws_other_numbers_and_the_old_one_the_same():
    state = toy_state()
    drawn = []
    for stream in (0, 1, 0):
        state.new_stream(stream)
        drawn.append(torch.rand(4, generator=state.rng).tolist())
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_stream_of_another_kind_of_device_begins_anew():
    """A GPU's generator has a state of 16 bytes."""
    state = toy_state(seed=3)
    state.step = 5
    here = state.snapshot()
    elsewhere = here._replace(tensors=here.tensors | {"rng": torch.zeros(16, dtype=torch.uint8)})
    drawn = []
    for seed, snapshot in ((0, here), (1, elsewhere), (2, elsewhere)):
        resumed = toy_state(seed=seed)
        resumed.restore(snapshot)
        assert (resumed.step, resumed.seed) == (5, 3)
        drawn.append(torch.rand(8, generator=resumed.rng))
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_the_learning_rate_is_base_times_schedule_times_guard():
    state = toy_state(lr=0.1, n_updates=10, schedule=Schedule("cosine"), guard=Guard(ease_factor=0.5))
    assert state.lr == pytest.approx(0.1)
    state.step = 5
    assert state.lr == pytest.approx(0.05)
    state.memory = state.memory._replace(ease=1)
    assert state.lr == pytest.approx(0.025)
