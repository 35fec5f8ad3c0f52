"""What every objective on data and samples must obey."""

import pytest
import torch

from ebmnist.energies import MLP
from ebmnist.training.base import DenoisingObjective
from ebmnist.training.objectives import REGISTRY

KINDS = pytest.mark.parametrize("kind", [k for k, cls in REGISTRY.items() if not issubclass(cls, DenoisingObjective)])


@pytest.fixture
def case(rng):
    return MLP(2, 8), torch.randn(10, 2, generator=rng), 2 + torch.randn(10, 2, generator=rng)


@KINDS
def test_the_loss_is_a_scalar_that_reaches_every_weight(kind, case):
    energy = case[0]
    loss, _ = REGISTRY[kind]()(*case)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in energy.parameters())
    assert any((p.grad != 0).any() for p in energy.parameters())


@KINDS
def test_terms_are_detached_scalars_with_the_names_a_record_needs(kind, case):
    energy, x_pos, x_neg = case
    _, terms = REGISTRY[kind]()(*case)
    assert {"energy_pos", "energy_neg", "energy_max"} <= terms.keys()
    assert all(value.shape == () and not value.requires_grad for value in terms.values())
    torch.testing.assert_close(terms["energy_pos"], energy(x_pos).mean().detach())
    torch.testing.assert_close(terms["energy_neg"], energy(x_neg).mean().detach())
    torch.testing.assert_close(terms["energy_max"], energy(torch.cat([x_pos, x_neg])).abs().max().detach())


@KINDS
def test_following_it_pushes_data_down_and_samples_up(kind, case):
    energy, x_pos, x_neg = case
    optimiser = torch.optim.SGD(energy.parameters(), lr=0.05)

    def gap() -> float:
        return (energy(x_neg).mean() - energy(x_pos).mean()).item()

    before = gap()
    for _ in range(20):
        optimiser.zero_grad()
        REGISTRY[kind]()(*case)[0].backward()
        optimiser.step()
    assert gap() > before


@KINDS
def test_no_gradient_reaches_the_images(kind, case):
    energy, x_pos, x_neg = case
    REGISTRY[kind]()(energy, x_pos, x_neg)[0].backward()
    assert x_pos.grad is None
    assert x_neg.grad is None


@KINDS
def test_regularisation_is_a_factor_whose_neutral_value_is_one(kind, case):
    objective = REGISTRY[kind]()
    assert torch.equal(objective(*case)[0], objective(*case, regularisation=1.0)[0])
    assert not torch.equal(objective(*case)[0], objective(*case, regularisation=3.0)[0])


@KINDS
def test_what_is_not_finite_stays_so(kind, case):
    energy, x_pos, x_neg = case
    for i in range(2):
        broken = [x_pos.clone(), x_neg.clone()]
        broken[i][0, 0] = torch.nan
        assert not REGISTRY[kind]()(energy, *broken)[0].isfinite()
