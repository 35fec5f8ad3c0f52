"""HMC: exact laws at steps whose trajectories are not, and MALA as its case of one leapfrog step."""

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.sampling import HMC, MALA, run_chain
from targets import Gaussian, Mixture, Tilted, assert_moments


@pytest.mark.parametrize(
    ("target", "kernel"),
    [
        (Gaussian(), HMC(step_size=1.2, n_leapfrog=3)),
        (Mixture(), HMC(step_size=0.8, n_leapfrog=4)),
        (Mixture(), HMC(step_size=0.8, n_leapfrog=4, clip=0.5)),
        (Tilted(), HMC(step_size=0.2, n_leapfrog=3, clamp=(0.0, 1.0))),
    ],
    ids=str,
)
def test_exact_draws_stay_exact(target, kernel, rng):
    x = target.draw(50_000, (1,), rng)
    chain = run_chain(target, kernel, x, 4, rng=rng, record=True)
    assert (chain.x != x).float().mean() > 0.5
    assert 0.3 < chain.trace.accepted.mean() < 1
    assert_moments(chain.x, target.mean, target.variance)


def test_temperature_is_the_variance_of_a_quadratic(rng):
    chain = run_chain(
        Gaussian(), HMC(step_size=0.8, temperature=0.25, n_leapfrog=2), torch.zeros(30_000, 1), 10, rng=rng
    )
    assert_moments(chain.x, 0.0, 0.25)


def test_one_leapfrog_step_is_mala(rng):
    x = Mixture().draw(500, (2,), rng).double()
    fields = {"step_size": 1.2, "temperature": 0.7, "clip": 0.9}
    ours, mala = (
        run_chain(Mixture(), kernel, x, 3, rng=torch.Generator().manual_seed(1), record=True)
        for kernel in (HMC(n_leapfrog=1, **fields), MALA(**fields))
    )
    assert torch.equal(ours.trace.accepted, mala.trace.accepted)
    torch.testing.assert_close(ours.x, mala.x)


@pytest.mark.parametrize("fields", [{"step_size": 0.0}, {"temperature": 0.0}, {"n_leapfrog": 0}, {"clip": 0.0}])
def test_a_field_out_of_range_is_refused(fields):
    with pytest.raises(BadInput, match="hmc"):
        HMC(**fields)
