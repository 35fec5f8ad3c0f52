"""What training refuses: weights and states of another run, and fields out of their range."""

import copy
import math

import pytest
import torch

from ebmnist.energies import MLP, ConvNet
from ebmnist.errors import BadInput
from ebmnist.sampling import FromData, FromNoise, ReplayBuffer
from ebmnist.training import Training
from ebmnist.training.state import load_weights
from toys import advance, ring, toy_state


def test_weights_of_another_architecture_are_refused():
    for other in (MLP(2, 9), MLP(2, 8, depth=3), MLP(2, 8, spectral_norm=True), ConvNet(width=2)):
        energy = MLP(2, 8)
        before = copy.deepcopy(energy.state_dict())
        with pytest.raises(BadInput, match="of another architecture"):
            load_weights(energy, other.state_dict())
        assert all(torch.equal(now, before[name]) for name, now in energy.state_dict().items())


def test_the_refusal_names_the_first_weight_that_differs():
    with pytest.raises(BadInput, match=r"'net.1.weight' has shape \(9, 2\), this energy's \(8, 2\)"):
        load_weights(MLP(2, 8), MLP(2, 9).state_dict())


def test_weights_are_loaded(rng):
    one, other = MLP(2, 8), MLP(2, 8)
    x = torch.randn(4, 2, generator=rng)
    load_weights(one, other.state_dict())
    assert torch.equal(one(x), other(x))
    assert one.net[1].weight is not other.net[1].weight


def test_a_snapshot_of_another_run_is_refused(rng):
    state = toy_state()
    advance(state, ring(64, rng), 1)
    snapshot = state.snapshot()
    for other in (
        toy_state(MLP(2, 9)),
        toy_state(start=FromNoise()),
        toy_state(start=FromData()),
        toy_state(start=ReplayBuffer(64)),
    ):
        with pytest.raises(BadInput):
            other.restore(snapshot)
    with pytest.raises(BadInput, match="the saved start and this one do not both have"):
        state.restore(toy_state(start=FromNoise()).snapshot())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n_updates": 0}, "n_updates"),
        ({"batch_size": 1}, "batch_size"),  # diversity is a distance between two
        ({"n_steps": 0}, "n_steps"),
        ({"data_noise": -0.1}, "data_noise"),
        ({"data_noise": math.nan}, "data_noise"),
        ({"lr": 0.0}, "lr"),
        ({"lr": math.inf}, "lr"),
        ({"weight_grad_clip": 0.0}, "weight_grad_clip"),
        ({"beta1": 1.0}, "beta1"),
        ({"beta2": -0.1}, "beta2"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"ema_decay": math.nan}, "ema_decay"),
    ],
)
def test_bad_fields_are_named(fields, named):
    with pytest.raises(BadInput, match=f"training: {named} must be"):
        Training(**fields)
