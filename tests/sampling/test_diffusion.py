"""Solvers of the reverse equations: their order, what they give where the denoiser is known, and the chains in C++."""

import math

import pytest
import torch
from torch import Tensor

from ebmnist.energies import ConvNet
from ebmnist.errors import BadInput
from ebmnist.native import library
from ebmnist.random import Rng
from ebmnist.sampling import MALA, SAMPLERS, Ancestral, AnnealedLangevin, DPMSolver, Heun, Langevin, run_chain

KAPPA, SPREAD, FROM, TO = 0.05, 0.5, 2.0, 0.1
DETERMINISTIC = {"ancestral": {"tau": 0.0}, "heun": {"churn": 0.0}, "dpm_solver": {"tau": 0.0}}
NAMES = pytest.mark.parametrize("name", SAMPLERS)


def gaussian(x: Tensor) -> Tensor:
    """Data N(0, s²) in each of many pixels, whose mean square tells σ: D(x) = x·s²/mean(x²), which is s²/(s² + σ²)."""
    squares = x.flatten(1).square()
    return 0.5 * KAPPA * (squares.sum(1) - SPREAD**2 * squares.shape[1] * squares.mean(1).log())


def solved(name: str, n: int) -> float:
    """What a deterministic solver of n steps multiplies x by, over what the probability flow does."""
    kernel = SAMPLERS[name](
        curvature=KAPPA, sigma_max=FROM, sigma_min=TO, n_hold=1, n_anneal=n, clamp=None, **DETERMINISTIC[name]
    )
    x = torch.full((1, 3), math.sqrt(SPREAD**2 + FROM**2), dtype=torch.float64)
    end = run_chain(gaussian, kernel, x, n, rng=Rng(0), step_index=torch.tensor([1])).x
    return float(end[0, 0]) / math.sqrt(SPREAD**2 + TO**2)


@pytest.mark.parametrize(("name", "order"), [("ancestral", 1), ("heun", 2), ("dpm_solver", 2)])
def test_order_of_a_deterministic_solver(name, order):
    """The flow of Gaussian data is known, x ∝ √(s² + σ²); twice the steps divide the error by 2^order."""
    coarse, fine = (abs(solved(name, n) - 1) for n in (40, 80))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25)
    assert fine < 0.02


@NAMES
def test_chains_of_data_at_one_point_have_the_level_of_their_place(name):
    """D = 0 for all x, so every solver is exact: the spread is σ_j after each step, to its standard error."""
    kernel = SAMPLERS[name](curvature=KAPPA, sigma_max=0.8, sigma_min=0.05, n_hold=2, n_anneal=4, clamp=None)
    x = torch.full((40_000, 1), 5.0, dtype=torch.float64)
    steps = run_chain(
        lambda x: 0.5 * KAPPA * x.square().sum(1), kernel, x, kernel.cycle, rng=Rng(0), keep=range(3, kernel.cycle + 1)
    ).trajectory
    for place, at in zip(range(2, kernel.cycle), steps, strict=True):
        assert abs(float(at.std() / kernel.sigma(torch.tensor(place))) - 1) < 4 / (2 * len(x)) ** 0.5


@NAMES
def test_the_sampler_is_made_for_the_energy(name):
    kernel = SAMPLERS[name].of(AnnealedLangevin(sigma_max=1.5, sigma_min=0.02, temperature=2e-5, clamp=(0.1, 0.9)), 32)
    assert kernel.cycle == 32
    assert kernel.curvature == pytest.approx(0.05)
    assert kernel.clamp == (0.1, 0.9)
    assert 1.5 <= kernel.sigma_max < 1.6
    for trained in (Langevin(), MALA(), AnnealedLangevin(temperature=0.0)):
        with pytest.raises(BadInput, match=f"{name}: this energy was trained at one temperature"):
            SAMPLERS[name].of(trained, 32)
    with pytest.raises(BadInput, match=f"{name}: at least 8 steps are needed, not 7"):
        SAMPLERS[name].of(AnnealedLangevin(), 7)


@NAMES
@pytest.mark.parametrize("field", ["curvature", "sigma_min", "n_hold", "n_anneal", "hold_share", "rho"])
def test_a_field_out_of_range_is_refused(name, field):
    with pytest.raises(BadInput, match=name):
        SAMPLERS[name](**{field: 0})


@pytest.mark.parametrize(("kind", "field"), [(Ancestral, "tau"), (DPMSolver, "tau"), (Heun, "churn")])
def test_stochasticity_is_not_negative(kind, field):
    with pytest.raises(BadInput, match=field):
        kind(**{field: -0.1})


def test_noise_corrects_an_error_of_the_denoiser():
    """With tau, the share kept of an early error is r^(1+τ²): 4 levels from 2 to 0.1 keep 0.05² and 0.05⁴ of it."""
    for tau, kept in ((1.0, 0.05**2), (3**0.5, 0.05**4)):
        kernel = Ancestral(sigma_max=2.0, sigma_min=0.1, n_hold=1, n_anneal=4, tau=tau, curvature=KAPPA)
        shares = kernel.drift(torch.arange(1, 5)).double() * KAPPA
        assert float((1 - shares).prod()) == pytest.approx(kept, rel=1e-4)


@NAMES
@pytest.mark.skipif(library() is None, reason="nothing here compiles C++")
def test_the_cpp_runs_the_same_chains_in_stretches_of_any_length(name, monkeypatch):
    """From every place of a cycle at once, into the next cycle, with gradients that are clipped."""
    torch.manual_seed(0)
    energy, x = ConvNet(4, precision="fp32"), torch.rand(35, 1, 28, 28)
    kernel = SAMPLERS[name](n_hold=2, n_anneal=4, clip=0.02, clip_norm=0.3)

    def chain():
        return run_chain(energy, kernel, x, 7, rng=Rng(1), step_index=torch.arange(35) % 6, record=True)

    with monkeypatch.context() as patched:
        patched.setattr(type(kernel), "step", None)
        in_cpp = chain()
        patched.setattr("ebmnist.sampling.native_chains.STRIDE", 35)
        assert torch.equal(chain().x, in_cpp.x)
    monkeypatch.setattr(type(energy), "native_net", lambda *_, **__: None)
    in_torch = chain()
    torch.testing.assert_close(in_cpp.x, in_torch.x, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(in_cpp.last[:5], in_torch.last[:5], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(in_cpp.trace, in_torch.trace, strict=True):
        torch.testing.assert_close(ours, theirs, atol=3 / 784, rtol=1e-4)
