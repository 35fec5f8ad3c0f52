"""Contrastive divergence, against its formula written out for E(x) = w·x."""

import math

import pytest
import torch
from torch import nn

from ebmnist.energies import MLP
from ebmnist.errors import BadInput
from ebmnist.training import ContrastiveDivergence

X_POS = torch.tensor([[1.0], [3.0]])
X_NEG = torch.tensor([[-2.0], [0.0], [5.0]])  # as many as there are; the batches need not match


class Linear(nn.Module):
    """E(x) = w·x, with w = 2 to begin with."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.w * x[:, 0]


@pytest.mark.parametrize("energy_l2", [0.0, 0.1])
@pytest.mark.parametrize("regularisation", [1.0, 4.0])
def test_value_and_gradient_by_hand(energy_l2, regularisation):
    """mean x⁺ = 2, mean x⁻ = 1; mean x⁺² = 5, mean x⁻² = 29/3; E = 2x."""
    energy, strength = Linear(), energy_l2 * regularisation
    objective = ContrastiveDivergence(energy_l2=energy_l2)
    loss, terms = objective(energy, X_POS, X_NEG, regularisation=regularisation)
    loss.backward()
    assert loss.item() == pytest.approx(2 * (2 - 1) + strength * 4 * (5 + 29 / 3))
    assert energy.w.grad.item() == pytest.approx((2 - 1) + strength * 2 * 2 * (5 + 29 / 3))
    assert terms["energy_pos"].item() == 4
    assert terms["energy_neg"].item() == pytest.approx(2)
    assert terms["energy_max"].item() == 10


@pytest.mark.parametrize("mean_l2", [0.0, 0.01])
def test_the_mean_is_pulled_by_its_share_alone(mean_l2):
    """E = 2x: mean 4 and 2, so their middle is 3; about it squares are 5 and 29·4/3 − 6·2 + 9 = 107/3."""
    energy = Linear()
    loss, _ = ContrastiveDivergence(energy_l2=0.1, mean_l2=mean_l2)(energy, X_POS, X_NEG)
    loss.backward()
    assert loss.item() == pytest.approx(2 + 0.1 * (5 + 107 / 3 + 2 * mean_l2 * 9))
    assert energy.w.grad.item() == pytest.approx(
        1 + 0.1 * (5 + 107 / 3 + 2 * mean_l2 * 9)
    )  # the squares are ∝ w², w = 2


def test_the_largest_energy_is_of_either_sign_and_batch():
    objective = ContrastiveDivergence()
    for x_pos, x_neg in ((X_POS, X_NEG - 100), (X_POS + 100, X_NEG), (X_POS - 300, X_NEG)):
        largest = objective(Linear(), x_pos, x_neg)[1]["energy_max"]
        assert largest == 2 * torch.cat([x_pos, x_neg]).abs().max()


def test_regularisation_one_is_no_change():
    plain, scaled = (ContrastiveDivergence()(Linear(), X_POS, X_NEG, **r)[0] for r in ({}, {"regularisation": 1}))
    assert torch.equal(plain, scaled)


def test_one_forward_for_both_batches():
    energy = Linear()
    ContrastiveDivergence()(energy, X_POS, X_NEG)
    assert energy.calls == 1


def test_the_offset_is_free_without_the_square_and_pinned_with_it():
    """E + c has the same loss at λ = 0; at λ > 0 the gradient pulls the mean energy back to zero."""
    for energy_l2, pull in ((0.0, 0.0), (0.1, 0.1 * 2 * (100 + 100))):
        energy = MLP(1, 4)
        for p in energy.parameters():
            nn.init.zeros_(p)
        bias = energy.net[-1].bias
        nn.init.constant_(bias, 100.0)
        ContrastiveDivergence(energy_l2=energy_l2)(energy, X_POS, X_NEG)[0].backward()
        assert bias.grad.item() == pytest.approx(pull, abs=1e-6)


def test_the_gradient_is_the_likelihoods_when_negatives_are_exact(rng):
    """−∂ log p/∂w of p = N(w, 1), E = (x − w)²/2, is w − mean x⁺; exact negatives give it within their noise."""
    w = torch.tensor(0.7, requires_grad=True)
    x_pos = torch.randn(50_000, 1, generator=rng) + 2
    x_neg = torch.randn(50_000, 1, generator=rng) + w.detach()
    loss, _ = ContrastiveDivergence(energy_l2=0.0)(lambda x: (x[:, 0] - w).square() / 2, x_pos, x_neg)
    loss.backward()
    assert abs(w.grad.item() - (0.7 - x_pos.mean().item())) < 4.5 / math.sqrt(50_000)


@pytest.mark.parametrize("value", [-0.1, math.nan])
@pytest.mark.parametrize("name", ["energy_l2", "mean_l2"])
def test_a_bad_weight_is_refused(name, value):
    with pytest.raises(BadInput, match=f"contrastive_divergence: {name} must be ≥ 0"):
        ContrastiveDivergence(**{name: value})


@pytest.mark.parametrize("where", [X_POS, X_NEG])
def test_nan_stays_nan(where):
    bad = [torch.full_like(x, math.nan) if x is where else x for x in (X_POS, X_NEG)]
    loss, terms = ContrastiveDivergence()(Linear(), *bad)
    assert loss.isnan()
    assert terms["energy_max"].isnan()


def test_noisy_pairs_count_less():
    """E = 2x: differences 2(1 − (−2)) = 6 and 2(3 − 0) = 6; weights 1/(1 + 2·0) and 1/(1 + 2·1.5)."""
    objective, levels = ContrastiveDivergence(energy_l2=0, sigma_weighting=2), torch.tensor([0.0, 1.5])
    energy = Linear()
    loss, terms = objective(energy, X_POS, X_NEG[:2], levels=levels)
    loss.backward()
    assert loss.item() == pytest.approx((6 + 6 / 4) / 2)
    assert energy.w.grad.item() == pytest.approx((3 + 3 / 4) / 2)
    assert terms["energy_pos"].item() == 4  # as they are: what is recorded is not weighted


def test_without_levels_there_is_nothing_to_weigh_by():
    with pytest.raises(BadInput, match="sigma_weighting is for a kernel with levels"):
        ContrastiveDivergence(sigma_weighting=2)(Linear(), X_POS, X_NEG)


@pytest.mark.parametrize(
    ("levels", "signs"),
    [
        (None, [1, 1, -1]),
        ([0.0, 0.0, 0.0], [1, 1, -1]),
        ([0.0, 0.0, 1.001], [1, 1, 1]),
        ([1.0, 2.0, 0.999], [1, 1, -1]),
    ],
)
def test_a_negative_above_the_ceiling_is_pulled_down_to_it(levels, signs):
    """E = 2x, gaps −4, 3 and 8 under a max_gap of 4(1 + σ²): |c − gap| − c, and its slope by w."""
    x_pos, x_neg = torch.tensor([[1.0], [0.0], [1.0]]), torch.tensor([[-1.0], [1.5], [5.0]])
    energy, objective = Linear(), ContrastiveDivergence(energy_l2=0, max_gap=4)
    loss, terms = objective(energy, x_pos, x_neg, levels=None if levels is None else torch.tensor(levels))
    loss.backward()
    gaps, sigmas = (-4.0, 3.0, 8.0), levels or [0.0] * 3
    max_gaps = [4 * (1 + sigma**2) for sigma in sigmas]
    assert loss.item() == pytest.approx(sum(abs(c - g) - c for c, g in zip(max_gaps, gaps, strict=True)) / 3)
    assert energy.w.grad.item() == pytest.approx(sum(-s * g / 2 for s, g in zip(signs, gaps, strict=True)) / 3)
    assert terms["energy_neg"].item() == pytest.approx(2 * 5.5 / 3)  # as they are


def test_a_ceiling_that_no_gap_reaches_changes_nothing():
    energy, levels = MLP(1, 8), torch.tensor([0.1, 2.0])
    x_pos, x_neg = X_POS, X_NEG[:2]
    losses = [
        ContrastiveDivergence(sigma_weighting=2, max_gap=max_gap)(energy, x_pos, x_neg, levels=levels)[0]
        for max_gap in (None, 50.0)
    ]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=0)


@pytest.mark.parametrize("max_gap", [0.0, -1.0, math.nan])
def test_a_ceiling_of_nothing_is_refused(max_gap):
    with pytest.raises(BadInput, match="max_gap must be > 0 or null"):
        ContrastiveDivergence(max_gap=max_gap)
