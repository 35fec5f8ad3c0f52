"""Langevin dynamics: its stationary law, its limits, and parity with the tutorial's own loop."""

import math

import pytest
import torch
from torch import Tensor

from ebmnist.energies import MLP
from ebmnist.errors import BadInput
from ebmnist.random import ChainRng
from ebmnist.sampling import Langevin, run_chain, sample, samples_of
from targets import Gaussian, assert_moments

H = 0.4  # h = ε²/2, the drift's coefficient


def free(**fields) -> Langevin:
    """Langevin with no clipping and no box."""
    return Langevin(**{"clip": None, "clamp": None, **fields})


@pytest.mark.parametrize("temperature", [1.0, 0.25])
@pytest.mark.parametrize("noise_first", [False, True])
def test_stationary_variance_on_a_quadratic(temperature, noise_first, rng):
    """x' = (1 − h)x + √(2hT) ξ has variance T/(1 − h/2) after its noise: 1.25 at h = 0.4, not 1.

    With the noise first, the chain is seen after its drift, (1 − h) further in.
    """
    kernel = free(step_size=math.sqrt(2 * H), temperature=temperature, noise_first=noise_first)
    x = run_chain(Gaussian(), kernel, torch.zeros(100_000, 1), 40, rng=rng).x
    expected = temperature / (1 - H / 2)
    assert_moments(x, 0.0, expected * (1 - H) ** 2 if noise_first else expected)


@pytest.mark.parametrize("noise_first", [False, True])
def test_zero_temperature_is_gradient_descent_to_the_bit(noise_first, rng, monkeypatch):
    energy, x = MLP(6, 16), torch.randn(8, 6, generator=rng)
    kernel = free(step_size=0.5, temperature=0.0, noise_first=noise_first)
    monkeypatch.delattr(ChainRng, "numbers")  # and it draws no noise
    ended = run_chain(energy, kernel, x, 10, rng=rng).x

    for _ in range(10):
        x = x.detach().requires_grad_()
        x = x - 0.5 * 0.5**2 * torch.autograd.grad(energy(x).sum(), x)[0]
    assert torch.equal(ended, x)


def test_noise_first_is_the_tutorial(rng):
    """The tutorial's loop, in its own units on [−1, 1], with the same noise: the same chain, to rounding.

    Field: noise 0.005, clamp, gradient, clip ±0.03, step 10, clamp; here ε²/2 = 2.5, ε√T = 0.0025, clip 0.06.
    """
    energy = MLP(20, 64).double()
    with torch.no_grad():
        energy.net[-1].weight.mul_(3)  # steep enough that some components are clipped and others not
    start = torch.rand(32, 20, generator=rng, dtype=torch.float64)
    noise = iter(ChainRng.of(rng.clone_state(), start, 60))

    def tutorial(x: Tensor, n_steps: int) -> Tensor:
        for _ in range(n_steps):
            x = x + 0.005 * next(noise).normal_like(x)
            x = x.clamp(-1, 1).requires_grad_()
            (grad,) = torch.autograd.grad(energy((x + 1) / 2).sum(), x)
            x = (x - 10 * grad.clamp(-0.03, 0.03)).detach().clamp(-1, 1)
        return x

    chain = run_chain(energy, Langevin(noise_first=True), start, 60, rng=rng)
    expected = (tutorial(2 * start - 1, 60) + 1) / 2
    torch.testing.assert_close(chain.x, expected, rtol=0, atol=1e-9)
    assert 0 < chain.last.share_clipped.mean() < 1
    assert ((chain.x == 0) | (chain.x == 1)).any()  # the clamp was at work too


def test_defaults_are_the_tutorials_in_unit_pixels():
    kernel = Langevin()
    assert kernel.step_size**2 / 2 == pytest.approx(2.5)
    assert kernel.step_size * kernel.temperature**0.5 == pytest.approx(0.0025)
    assert kernel.clip == pytest.approx(2 * 0.03)


def test_info_is_what_happened(rng):
    x = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    kernel = free(step_size=1.0, temperature=0.0, clip=0.3, clamp=(0.0, 0.7))
    chain = run_chain(Gaussian(), kernel, x, 1, rng=rng)
    info = chain.last
    assert info.energy.tolist() == pytest.approx([0.41, 0.25])
    assert torch.equal(info.grad, x)  # ∇(x²/2) = x, at the point the step began
    torch.testing.assert_close(info.drift_grad, torch.tensor([[0.3, 0.1], [0.3, 0.3]]))
    torch.testing.assert_close(chain.x, torch.tensor([[0.7, 0.05], [0.35, 0.35]]))
    assert torch.equal(info.x_before, x)
    assert torch.equal(info.x_after, chain.x)
    assert info.share_clipped.tolist() == [0.5, 1.0]
    assert info.grad_norm.tolist() == pytest.approx([math.hypot(0.9, 0.1), math.hypot(0.5, 0.5)])
    assert info.displacement.tolist() == pytest.approx([math.hypot(0.2, 0.05), math.hypot(0.15, 0.15)])
    assert info.accepted is None


def test_clamp_holds_at_every_step(rng):
    kernel = Langevin(step_size=1.0, temperature=4.0, clamp=(-0.5, 0.25))
    chain = run_chain(Gaussian(), kernel, torch.zeros(50, 3), 5, rng=rng, keep=range(1, 6))
    assert chain.trajectory.min() == -0.5
    assert chain.trajectory.max() == 0.25


def test_with_a_clamp_margin_chains_leave_the_box_and_samples_do_not(rng):
    kernel = Langevin(step_size=1.0, temperature=4.0, clamp=(-0.5, 0.25), clamp_margin=0.125)
    chain = run_chain(Gaussian(), kernel, torch.zeros(50, 3), 5, rng=rng)
    assert (chain.x.min(), chain.x.max()) == (-0.625, 0.375)
    x = sample(Gaussian(), 50, rng=rng, kernel=kernel, n_steps=5, shape=(3,))
    assert (x.min(), x.max()) == (-0.5, 0.25)
    assert torch.equal(samples_of(Gaussian(), free(), chain.x), chain.x)


def test_one_step_is_as_long_as_it_says(rng):
    """With no drift, one step is ε√T ξ."""
    kernel = free(step_size=0.3, temperature=4.0)
    chain = run_chain(lambda x: 0 * x.sum(1), kernel, torch.zeros(50_000, 1), 1, rng=rng)
    assert_moments(chain.x, 0.0, 0.3**2 * 4)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": math.nan}, "step_size"),
        ({"temperature": -1e-9}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"clip": 0.0}, "clip"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"clamp": (1.0, 0.0)}, "clamp"),
        ({"clamp_margin": -0.1}, "clamp_margin"),
        ({"clamp_margin": math.nan}, "clamp_margin"),
    ],
)
def test_bad_fields_are_named(fields, named):
    with pytest.raises(BadInput, match=f"langevin: .*{named}"):
        Langevin(**fields)
