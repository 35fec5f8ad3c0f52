"""Parallel tempering: the right share of each mode, where one chain alone never crosses."""

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.random import ChainRng, Rng
from ebmnist.sampling import MALA, ParallelTempering, run_chain
from targets import Gaussian, Mixture, assert_moments

FAR = Mixture(means=(-6.0, 6.0), weights=(0.3, 0.7))


def test_modes_get_their_share_from_one_of_them():
    """All chains begin at −6. MALA stays there; replicas up to T = 64 cross, and the cold ones have 30 and 70 %."""
    x = torch.full((1000, 1), -6.0)
    kernel = ParallelTempering(step_size=1.2, n_replicas=4, ratio=4.0)
    moved = run_chain(FAR, kernel, x, 120, rng=Rng(0)).x
    assert_moments(moved, FAR.mean, FAR.variance)
    assert (run_chain(FAR, MALA(step_size=1.2), x, 120, rng=Rng(0)).x < 0).all()


def test_every_replica_has_its_own_temperature():
    kernel = ParallelTempering(step_size=1.0, temperature=0.5, n_replicas=3, ratio=3.0)
    state = kernel.init(Gaussian(), torch.zeros(20_000, 1))
    for rng in ChainRng.of(Rng(1), state.x, 40):
        state, _ = kernel.step(Gaussian(), state, rng)
    assert_moments(state.x, 0.0, 0.5)
    assert_moments(state.memory[0][:, 0], 0.0, 1.5)
    assert_moments(state.memory[0][:, 1], 0.0, 4.5)


@pytest.mark.parametrize("fields", [{"step_size": 0.0}, {"temperature": 0.0}, {"n_replicas": 7}, {"ratio": 1.0}])
def test_a_field_out_of_range_is_refused(fields):
    with pytest.raises(BadInput, match="parallel_tempering"):
        ParallelTempering(**fields)
