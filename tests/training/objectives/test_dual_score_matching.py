"""Dual score matching against Gaussian data, where −log p_σ(x) and all its derivatives are known."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from ebmnist.errors import BadInput
from ebmnist.random import Rng
from ebmnist.ranks import Ranks
from ebmnist.training import DualScoreMatching, Guard, TrainState, train_step
from targets import assert_moments
from toys import toy_state

MEAN, VARIANCE = torch.tensor([0.5, -0.2, 0.0, 1.0]), torch.tensor([0.02, 0.3, 1.0, 2.0])
LEVELS = (0.1, 3.0)


class Gaussian(nn.Module):
    """E(x, σ) = −log N(x; m, v + σ²) + a·log σ: what p_σ is for Gaussian data, with a constant at fault if a ≠ 0."""

    levels = LEVELS

    def __init__(self, mean, variance, fault=0.0):
        super().__init__()
        self.mean, self.log_variance = nn.Parameter(mean.clone()), nn.Parameter(variance.log())
        self.fault = nn.Parameter(torch.tensor(fault))

    def forward(self, x, sigma=None):
        sigma = x.new_full(x.shape[:1], self.levels[0]) if sigma is None else sigma
        v = self.log_variance.exp() + sigma[:, None].square()
        value = 0.5 * ((x - self.mean).square() / v + torch.log(2 * math.pi * v)).sum(1)
        return value + self.fault * torch.log(sigma / self.levels[1])


def data(n, seed=0):
    return MEAN + VARIANCE.sqrt() * Rng(10_000 + seed).normal((n, 4))


def test_the_loss_is_its_formula_with_the_derivatives_of_a_gaussian():
    energy, x, noise = Gaussian(MEAN + 0.3, VARIANCE, fault=2.0), data(7), Rng(1).normal((7, 4))
    sigma = torch.linspace(*LEVELS, 7)
    loss, terms = DualScoreMatching(sigma_weight=0.7)(energy, x, sigma, noise)
    y, v = x + sigma[:, None] * noise, VARIANCE + sigma[:, None].square()
    by_image = (y - MEAN - 0.3) / v
    by_sigma = (sigma[:, None] / v - sigma[:, None] * by_image.square()).sum(1) + 2.0 / sigma
    image = (sigma[:, None] * by_image - noise).square().sum(1) / 4
    level = (sigma * by_sigma - 4 + noise.square().sum(1)).square() / 16
    torch.testing.assert_close(loss, (image + 0.7 * level).mean())
    value = energy(y, sigma)
    torch.testing.assert_close(terms["energy"], value.mean())
    torch.testing.assert_close(terms["energy_max"], value.abs().max())
    torch.testing.assert_close(terms["grad_norm"], by_image.norm(dim=1).mean())
    assert not any(term.requires_grad for term in terms.values())


def test_its_gradient_is_zero_at_the_exact_energy_and_at_no_other():
    """Of each parameter: the mean over many images, against its standard error."""
    for energy, is_exact in ((Gaussian(MEAN, VARIANCE), True), (Gaussian(MEAN, VARIANCE, fault=1.0), False)):
        grads = []
        for seed in range(40):
            rng = Rng(seed)
            x, noise = data(500, seed), rng.normal((500, 4))
            loss, _ = DualScoreMatching()(energy, x, DualScoreMatching().levels(energy, 500, rng), noise)
            grads.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(energy.parameters()))]))
        grad = torch.stack(grads)
        off = (grad.mean(0) / (grad.std(0) / 40**0.5)).abs()
        assert bool(off.max() < 4.5) == is_exact
        assert bool(off[-1] < 4.5) == is_exact  # the constant's


@pytest.mark.parametrize(("weight", "is_normalised"), [(1.0, True), (0.0, False)])
def test_training_finds_the_law_and_the_second_score_its_constant(weight, is_normalised):
    energy = Gaussian(MEAN + 0.5, 2 * VARIANCE, fault=2.0)
    state = toy_state(
        energy,
        objective=DualScoreMatching(sigma_weight=weight),
        batch_size=256,
        lr=0.02,
        beta1=0.9,
        weight_grad_clip=10.0,
        ema_decay=0.98,
    )
    for i in range(300):
        train_step(state, data(256, seed=i))
    x = data(200, seed=1000)
    exact, found = Gaussian(MEAN, VARIANCE)(x), state.ema(x)
    gap = (found - exact).detach()
    assert gap.std() < 0.1  # nats, of a spread of 1.4
    assert bool(gap.mean().abs() < 0.15) == is_normalised


def test_levels_are_log_uniform_and_spread_over_each_batch():
    energy, rng = Gaussian(MEAN, VARIANCE), Rng(0)
    place = torch.stack([DualScoreMatching().levels(energy, 16, rng) for _ in range(400)]).log()
    low, high = (math.log(level) for level in LEVELS)
    place = (place - low) / (high - low)
    assert torch.equal((16 * place).floor(), torch.arange(16.0).expand(400, 16))
    assert_moments((16 * place[:, :1]) % 1, 0.5, 1 / 12)


def test_the_record_of_an_update_without_chains():
    energy = Gaussian(MEAN, VARIANCE)
    state: TrainState = toy_state(energy, objective=DualScoreMatching(), guard=Guard(enabled=False))
    before = [p.detach().clone() for p in energy.parameters()]
    record = train_step(state, data(16))
    assert record.gap == 0
    assert record.energy_max >= abs(record.energy_pos)
    assert (record.share_clipped, record.share_at_clamp, record.diversity, record.finite_images) == (0, 0, 1, 1)
    assert record.grad_norm > 0
    assert record.displacement > 0
    assert not any(map(torch.equal, before, energy.parameters()))


def test_a_negative_weight_is_refused():
    with pytest.raises(BadInput, match="sigma_weight must be ≥ 0, not -1"):
        DualScoreMatching(sigma_weight=-1)


def test_ranks_and_microbatches_divide_it():
    """The record is that of the whole batch, and so is what the update does to the weights, within rounding."""
    states = [toy_state(Gaussian(MEAN, VARIANCE), objective=DualScoreMatching(), lr=0.01) for _ in range(3)]
    states[1].ranks = Ranks(joined=True)
    states[2].training = dataclasses.replace(states[2].training, microbatch_size=5)
    x = data(20)  # parts of 8, 8 and 4
    whole, *others = (train_step(state, x)._replace(seconds=0) for state in states)
    for record, state in zip(others, states[1:], strict=True):
        assert record._asdict() == pytest.approx(whole._asdict(), rel=1e-4)
        for p, expected in zip(state.energy.parameters(), states[0].energy.parameters(), strict=True):
            torch.testing.assert_close(p, expected, rtol=1e-3, atol=1e-5)
