import pytest
import torch

from ebmnist.energies import MLP
from ebmnist.errors import BadInput
from ebmnist.sampling import Langevin, ReplayBuffer
from ebmnist.training import ContrastiveDivergence, Snapshot, Training, TrainState, train_step
from ebmnist.training.restoring import check_buffer, check_snapshot, check_weights


@pytest.fixture
def state(images):
    start = ReplayBuffer(8)
    training = Training(n_updates=10, batch_size=4, n_steps=1)
    state = TrainState(
        MLP(784, width=4, depth=1), training, kernel=Langevin(), start=start, objective=ContrastiveDivergence()
    )
    train_step(state, images[:4])
    return state


def test_a_states_own_snapshot_fits_it(state):
    check_snapshot(state.snapshot(), state, "x")


def test_a_state_before_its_first_update_fits_too():
    fresh = TrainState(
        MLP(784, width=4, depth=1),
        Training(),
        kernel=Langevin(),
        start=ReplayBuffer(8),
        objective=ContrastiveDivergence(),
    )
    check_snapshot(fresh.snapshot(), fresh, "x")


FACTS = {
    "step": [-1, 1.0, "1", None, 2**63],
    "guard": [None, [], {}, {"n_lr_decays": 0}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in FACTS.items() for value in values])
def test_facts_that_are_not_a_states_are_refused(name, value, state):
    tensors, facts = state.snapshot()
    with pytest.raises(
        BadInput, match=rf"^x: {name}[^\n]+; use another checkpoint, or train again with: ebmnist train$"
    ):
        check_snapshot(Snapshot(tensors, facts | {name: value}), state, "x")


@pytest.mark.parametrize("prefix", ["energy", "ema", "optimiser"])
def test_tensors_that_are_not_a_states_are_refused(prefix, state):
    tensors, facts = state.snapshot()
    mine = [name for name in tensors if name.startswith(f"{prefix}.") and tensors[name].ndim > 1]
    assert mine
    for name in mine:
        value = tensors[name]
        bad = {
            "is missing, or nothing|are in one and not the other": None,
            "expected float32": value.double(),
            "expected float32 ": value[..., :-1],
            "not all of them are finite": torch.full_like(value, float("nan")),
            "not all of them are finite numbers": torch.full_like(value, float("inf")),
        }
        for said, other in bad.items():
            changed = {n: t for n, t in tensors.items() if n != name} | ({} if other is None else {name: other})
            with pytest.raises(BadInput, match=rf"^x: [^\n]*({said})[^\n]*; use a checkpoint that this recipe"):
                check_snapshot(Snapshot(changed, facts), state, "x")
        with pytest.raises(BadInput):
            check_snapshot(Snapshot(tensors | {f"{prefix}.other": value}, facts), state, "x")


def test_a_negative_second_moment_is_refused(state):
    tensors, facts = state.snapshot()
    name = next(name for name in tensors if name.endswith("exp_avg_sq"))
    with pytest.raises(BadInput, match="is negative"):
        check_snapshot(Snapshot(tensors | {name: -1 - tensors[name]}, facts), state, "x")


def buffer(n=3):
    numbers = {f"start.{name}": torch.zeros(n, dtype=torch.int64) for name in ("age", "step_index", "lineage")}
    images = torch.zeros(n, 1, 28, 28) if n else torch.zeros(0)
    return numbers | {"start.images": images, "start.n_born": torch.zeros((), dtype=torch.int64)}


def test_buffers_are_as_many_images_as_numbers():
    for good in ({}, buffer(), buffer(0)):
        check_buffer(good, "x")
    bad = {
        "images": [
            torch.zeros(3, 28, 28),
            torch.zeros(3, 1, 28, 28).double(),
            torch.zeros(()),
            torch.zeros(2, 1, 28, 28),
        ],
        "age": [torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.full((3,), -1)],
        "n_born": [torch.zeros(1, dtype=torch.int64)],
    }
    for name, values in bad.items():
        for value in values:
            with pytest.raises(BadInput, match=r"^x: the buffer's '[^\n]+$"):
                check_buffer(buffer() | {f"start.{name}": value}, "x")
        with pytest.raises(BadInput, match="is missing"):
            check_buffer({key: value for key, value in buffer().items() if key != f"start.{name}"}, "x")


def test_weights_of_another_architecture_name_the_file():
    with pytest.raises(BadInput, match=r"^my\.file: of another architecture"):
        check_weights(MLP(2, 8), MLP(2, 8, depth=3).state_dict(), "my.file")


def test_nothing_that_the_state_has_may_be_missing(state):
    tensors, facts = state.snapshot()
    for name in facts:
        with pytest.raises(BadInput, match=f"^x: {name} is missing"):
            check_snapshot(Snapshot(tensors, {key: value for key, value in facts.items() if key != name}), state, "x")
    for name in [name for name in tensors if "." not in name]:
        others = {key: value for key, value in tensors.items() if key != name}
        for changed in (others, others | {name: torch.zeros(3)}):
            with pytest.raises(BadInput, match=f"^x: '{name}' is missing, or not of"):
                check_snapshot(Snapshot(changed, facts), state, "x")
