"""One update: what it does to the weights and the average, and the record it gives of itself."""

import copy
import dataclasses
import math
from dataclasses import dataclass

import pytest
import torch

from ebmnist.energies import MLP
from ebmnist.sampling import AnnealedLangevin, Draw, FromData, Langevin, ReplayBuffer, run_chain
from ebmnist.training import ContrastiveDivergence, Guard, Schedule, train_step
from ebmnist.training.step import _smoothing, noised
from targets import assert_moments
from toys import advance, ring, toy_state

DESCENT = Langevin(step_size=0.3, temperature=0.0, clip=0.015, clamp=(0.0, 1.0))


def weights(energy) -> list[torch.Tensor]:
    return [p.detach().clone() for p in energy.parameters()]


def cold_state(**given):
    """Return a state with nothing random in it: chains from the data, without noise anywhere."""
    return toy_state(**{"kernel": DESCENT, "start": FromData(), "data_noise": 0.0, **given})


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_switched_off_by_the_caller_change_no_update(mode, rng):
    one, images = toy_state(), ring(16, rng)
    other = copy.deepcopy(one)
    train_step(one, images)
    with mode():
        train_step(other, images)
    assert all(map(torch.equal, weights(one.energy), weights(other.energy)))


# The record.


def test_the_record_is_what_happened(rng):
    """Every field, from its definition, on an update in which nothing is random."""

    class Mirrored(FromData):
        def draw(self, x_pos, rng):
            return super().draw(1 - x_pos, rng)

    x_pos = ring(16, rng).clamp(0.1, 0.8)
    objective = ContrastiveDivergence(energy_l2=0.3)
    state = cold_state(start=Mirrored(), objective=objective, weight_grad_clip=1e-3, lr=0.02)
    energy = copy.deepcopy(state.energy)
    record = train_step(state, x_pos)

    chain = run_chain(energy, DESCENT, 1 - x_pos, 3, rng=rng)
    e_pos, e_neg = energy(x_pos), energy(chain.x)
    loss = e_pos.mean() - e_neg.mean() + 0.3 * (e_pos.square().mean() + e_neg.square().mean())
    grads = torch.autograd.grad(loss, list(energy.parameters()))
    expected = {
        "step": 1,
        "loss": loss.item(),
        "energy_pos": e_pos.mean().item(),
        "energy_neg": e_neg.mean().item(),
        "energy_max": max(e_pos.abs().max().item(), e_neg.abs().max().item()),
        "weight_grad_norm": math.sqrt(sum(g.square().sum().item() for g in grads)),
        "weight_norm": math.sqrt(sum(p.square().sum().item() for p in weights(state.energy))),
        "grad_norm": chain.last.grad.norm(dim=1).mean().item(),
        "share_clipped": (chain.last.grad.abs() > 0.015).float().mean().item(),
        "share_at_clamp": ((chain.x <= 0.01) | (chain.x >= 0.99)).float().mean().item(),
        "displacement": (chain.x - (1 - x_pos)).norm(dim=1).mean().item(),
        "diversity": (chain.x.diff(dim=0).norm(dim=1).median() / x_pos.diff(dim=0).norm(dim=1).median()).item(),
        "finite_images": 1.0,
        "lr": 0.02,
        "energy_l2": 0.3,
    }
    assert expected.keys() == set(record._fields) - {"seconds"}
    assert {name: getattr(record, name) for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert 0 < record.share_clipped < 1  # the case is a telling one
    assert record.weight_grad_norm > state.training.weight_grad_clip  # the norm is that before clipping
    assert record.seconds > 0
    assert record.gap == record.energy_neg - record.energy_pos


@pytest.mark.parametrize(("place", "share"), [(0.0, 1.0), (0.5, 0.0)])
def test_chains_at_the_clamp_are_told_from_data_at_the_clamp(place, share, rng):
    """0 when the chains sit there as much as clean data do, 1 when they sit nowhere else."""
    x_pos = ring(16, rng).clamp(0.1, 0.9)
    x_pos[:, 0] = 1.0  # half of the data's pixels are at an end

    class Elsewhere(FromData):
        def draw(self, x_pos, rng):
            return super().draw(torch.where(x_pos == 1, x_pos, place), rng)

    still = Langevin(step_size=1e-9, temperature=0.0, clamp=(0.0, 1.0))
    record = train_step(cold_state(start=Elsewhere(), kernel=still), x_pos)
    assert record.share_at_clamp == pytest.approx(share)


def test_the_learning_rate_and_regularisation_are_those_in_force(rng):
    state = cold_state(
        lr=0.1, n_updates=10, schedule=Schedule("cosine"), objective=ContrastiveDivergence(energy_l2=0.2)
    )
    state.guard_state = state.guard_state._replace(n_lr_decays=1)
    factor = state.training.guard.lr_factor(state.guard_state)
    plain = [state.training.schedule.factor(step, 10) for step in range(4)]
    records = advance(state, ring(32, rng), 4)
    assert [r.step for r in records] == [1, 2, 3, 4]
    assert [r.lr for r in records] == pytest.approx([0.1 * factor * s for s in plain])
    assert [r.energy_l2 for r in records] == pytest.approx([0.2 / factor] * 4)


def test_chains_that_are_not_finite_are_on_record(rng):
    buffer = ReplayBuffer(16, 0.0)
    x = ring(16, rng)
    buffer.draw(x, rng)
    buffer.images[3] = math.nan
    record = train_step(toy_state(start=buffer), x)
    assert record.finite_images == 0.0
    assert math.isnan(record.loss)  # and no number is made up for it
    assert math.isfinite(record.energy_pos)


# The update.


def test_the_first_update_is_adams(rng):
    """m̂ = g and v̂ = g², so that each weight moves by η·g/(|g| + 10⁻⁸), g the clipped gradient, η that in force."""
    state = cold_state(lr=0.02, schedule=Schedule(warmup=2), weight_grad_clip=0.01)
    before, x_pos = copy.deepcopy(state.energy), ring(16, rng)
    record = train_step(state, x_pos)
    assert record.weight_grad_norm > 0.01

    x_neg = run_chain(before, DESCENT, x_pos, 3, rng=rng).x
    state.objective(before, x_pos, x_neg)[0].backward()
    scale = 0.01 / (record.weight_grad_norm + 1e-6)  # torch's clip_grad_norm_
    for was, now in zip(before.parameters(), state.energy.parameters(), strict=True):
        g = scale * was.grad
        torch.testing.assert_close(now, was - 0.01 * g / (g.abs() + 1e-8), rtol=1e-5, atol=1e-6)


def test_moved_chains_go_back_to_the_buffer(rng):
    buffer = ReplayBuffer(16, 0.0)
    state, x = toy_state(start=buffer, n_steps=5), ring(16, rng)
    advance(state, x, 3)
    assert buffer.age.tolist() == [15] * 16


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_the_average_follows_its_formula(decay, rng):
    """θ̄ ← β θ̄ + (1 − β) θ with β = min(decay, (1 + t)/(10 + t))."""
    state, x = toy_state(ema_decay=decay, lr=0.05), ring(64, rng)
    means = weights(state.ema)
    for t in range(6):
        advance(state, x, 1)
        beta = min(decay, (1 + t) / (10 + t))
        means = [beta * m + (1 - beta) * p for m, p in zip(means, weights(state.energy), strict=True)]
        for mean, expected in zip(weights(state.ema), means, strict=True):
            torch.testing.assert_close(mean, expected)
    if decay == 0:
        assert all(map(torch.equal, weights(state.ema), weights(state.energy)))


def test_spectral_norms_vectors_move_once_an_update_and_reach_the_average(rng):
    state = toy_state(MLP(2, 8, spectral_norm=True))
    before = dict(copy.deepcopy(state.energy).named_buffers())
    advance(state, ring(64, rng), 1)
    layer = copy.deepcopy(state.energy).net[3].parametrizations.weight[0]
    now = dict(state.energy.named_buffers())
    assert any(not torch.equal(now[name], before[name]) for name in now)
    assert all(torch.equal(now[name], value) for name, value in state.ema.named_buffers())
    assert layer.training


# Trouble.


@dataclass(frozen=True)
class Broken:
    """An objective that is finite and has a gradient that is not, or the other way round."""

    where: str

    def __call__(self, energy, x_pos, x_neg, *, regularisation=1.0, levels=None):  # noqa: ARG002
        loss, terms = ContrastiveDivergence()(energy, x_pos, x_neg, regularisation=regularisation)
        if self.where == "loss":
            loss = loss * math.nan
        elif self.where == "infinite loss":
            loss = loss + math.inf
        else:
            loss = loss + (0 * next(energy.parameters())).sum().sqrt()  # √0: value 0, gradient 0 · ∞
        return loss, terms


@pytest.mark.parametrize("where", ["loss", "infinite loss", "gradient"])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(where, rng):
    state, x = toy_state(), ring(64, rng)
    advance(state, x, 2)
    before = state.snapshot().tensors
    state.objective = Broken(where)
    record = advance(state, x, 1)[0]
    assert not (math.isfinite(record.loss) and math.isfinite(record.weight_grad_norm))
    assert math.isfinite(record.weight_norm)
    assert state.step == record.step == 3
    untouched = [name for name in before if name.startswith(("energy.", "ema.", "optimiser."))]
    now = state.snapshot().tensors
    assert all(torch.equal(now[name], before[name]) for name in untouched)


def test_with_the_guard_off_it_does_and_the_record_says_so(rng):
    state = toy_state(guard=Guard(enabled=False), objective=Broken("gradient"))
    record = advance(state, ring(64, rng), 1)[0]
    assert any(p.isnan().any() for p in state.energy.parameters())
    assert math.isnan(record.weight_norm)  # ‖θ‖ after the update, not before


# Noise on the data.


def test_data_noise_has_the_sigma_it_says(rng):
    free = Langevin(clamp=None)
    assert_moments(noised(torch.full((50_000, 1), 0.5), 0.2, free, rng), 0.5, 0.04)


def test_data_noise_stays_in_the_box(rng):
    x = noised(torch.full((1_000, 1), 0.9), 0.5, Langevin(), rng)
    assert x.min() == 0
    assert x.max() == 1


def test_data_noise_has_the_chains_clamp_margin(rng):
    state = toy_state(kernel=Langevin(clamp_margin=0.25), data_noise=0.5)
    sigma, clamp_margin = _smoothing(state, Draw(torch.zeros(4, 2)))
    assert (sigma, clamp_margin) == (0.5, 0.25)
    x = noised(torch.full((1_000, 1), 0.9), sigma, state.kernel, rng, clamp_margin=clamp_margin)
    assert (x.min(), x.max()) == (-0.25, 1.25)


def test_no_data_noise_draws_nothing(rng):
    x, before = torch.rand(4, 2), rng.get_state()
    assert noised(x, 0.0, Langevin(), rng) is x
    assert torch.equal(rng.get_state(), before)


def test_the_data_noise_is_drawn_anew_at_every_update_and_the_data_left_alone(rng):
    x_pos, seen = ring(16, rng), []

    @dataclass(frozen=True)
    class Spy:
        def __call__(self, energy, x_pos, x_neg, *, regularisation=1.0, levels=None):  # noqa: ARG002
            seen.append(x_pos)
            return ContrastiveDivergence()(energy, x_pos, x_neg, regularisation=regularisation)

    state, kept = toy_state(data_noise=0.1, objective=Spy()), x_pos.clone()
    for _ in range(2):
        train_step(state, x_pos)
    assert torch.equal(x_pos, kept)
    assert not torch.equal(seen[0], seen[1])
    assert (seen[0] - x_pos).std().item() == pytest.approx(0.1, rel=0.5)


def test_weight_decay_takes_its_share_of_the_weights_and_nothing_else(rng):
    """θ' = θ'₀ − ηwθ, θ'₀ being the same update without it."""
    x_pos = ring(16, rng)
    plain, decayed = cold_state(lr=0.02), cold_state(lr=0.02, weight_decay=0.5)
    decayed.energy.load_state_dict(plain.energy.state_dict())
    before = weights(plain.energy)
    for state in (plain, decayed):
        train_step(state, x_pos)
    for old, one, other in zip(before, weights(plain.energy), weights(decayed.energy), strict=True):
        torch.testing.assert_close(other, one - 0.02 * 0.5 * old)


# A kernel with cycles: each real image takes the noise of one chain's place.


def test_real_images_have_the_noise_of_their_chains_place_in_the_cycle():
    kernel = AnnealedLangevin(n_hold=2, n_anneal=2, sigma_max=0.5, sigma_min=0.1, temperature=1e-4)
    start = ReplayBuffer(4000, fresh_fraction=0.0)
    state = toy_state(kernel=kernel, start=start, n_steps=1)
    start.draw(torch.zeros(4000, 2), state.rng)  # fills it
    start.step_index = torch.arange(4000) % 4
    draw = start.draw(torch.zeros(4000, 2), state.rng)
    sigma, clamp_margin = _smoothing(state, draw)
    assert draw.step_index is not None
    for place in range(4):
        at = draw.step_index == place
        torch.testing.assert_close(sigma[at, 0], kernel.sigma(torch.full((1000,), place)))
        torch.testing.assert_close(clamp_margin[at, 0], kernel.margin(torch.full((1000,), place)))
    free = dataclasses.replace(kernel, clamp=None)
    x = noised(torch.zeros(4000, 2), sigma, free, state.rng)
    for place in range(4):
        assert_moments(x[draw.step_index == place] / sigma[draw.step_index == place], 0.0, 1.0)


def test_starts_without_a_memory_begin_a_cycle_at_every_update():
    kernel = AnnealedLangevin(n_hold=2, n_anneal=2)
    state = toy_state(kernel=kernel, start=FromData(), n_steps=3)
    sigma, _ = _smoothing(state, state.start.draw(torch.zeros(5, 2), state.rng))
    torch.testing.assert_close(sigma, kernel.sigma(torch.tensor([[2]])))
