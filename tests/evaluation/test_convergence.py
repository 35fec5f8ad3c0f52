import math

import pytest
import torch
from arviz_stats.base import array_stats
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.convergence import autocorrelation, ess_bulk, ess_tail, rhat


def autoregressive(n_chains: int, n_draws: int, phi: float, shift: float = 0.0) -> Tensor:
    """Return stationary chains with ρ_t = φ^t and variance 1; chain m is shifted by m × `shift`."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n_chains, n_draws, generator=rng, dtype=torch.float64)
    for t in range(1, n_draws):
        x[:, t] = phi * x[:, t - 1] + (1 - phi**2) ** 0.5 * x[:, t]
    return x + shift * torch.arange(n_chains)[:, None]


CASES = [
    (n_chains, n_draws, phi, shift)
    for n_chains in (2, 5)
    for n_draws in (4, 6, 50, 101, 400)
    for phi in (-0.9, 0.0, 0.5, 0.95)
    for shift in (0.0, 1.0)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_estimators_are_arviz_s(case: tuple[int, int, float, float]) -> None:
    x = autoregressive(*case)
    assert rhat(x) == pytest.approx(array_stats.rhat(x.numpy(), method="rank"), rel=1e-9)
    assert ess_bulk(x) == pytest.approx(array_stats.ess(x.numpy(), method="bulk"), rel=1e-9)
    assert ess_tail(x) == pytest.approx(array_stats.ess(x.numpy(), method="tail", prob=(0.05, 0.95)), rel=1e-9)


def test_ties_are_arviz_s() -> None:
    x = autoregressive(4, 100, 0.5).mul(2).round()
    assert rhat(x) == pytest.approx(array_stats.rhat(x.numpy(), method="rank"), rel=1e-9)
    assert ess_bulk(x) == pytest.approx(array_stats.ess(x.numpy(), method="bulk"), rel=1e-9)


def test_independent_draws_are_worth_their_number() -> None:
    x = autoregressive(8, 1000, 0.0)
    assert rhat(x) == pytest.approx(1, abs=0.005)
    assert ess_bulk(x) == pytest.approx(8000, rel=0.1)
    assert ess_tail(x) == pytest.approx(8000, rel=0.15)


def test_correlated_draws_are_worth_less_by_the_known_factor() -> None:
    x = autoregressive(8, 4000, 0.6)
    assert ess_bulk(x) == pytest.approx(32000 * (1 - 0.6) / (1 + 0.6), rel=0.1)
    torch.testing.assert_close(autocorrelation(x)[:6], 0.6 ** torch.arange(6).double(), atol=0.03, rtol=0)


def test_one_chain_s_autocorrelation_is_arviz_s() -> None:
    # W is unbiased and var⁺ is not: with one chain every lag but 0 is off by exactly 1/(N − 1).
    x = autoregressive(1, 200, 0.7)
    expected = torch.from_numpy(array_stats.autocorr(x[0].numpy())) - 1 / 199
    expected[0] = 1
    torch.testing.assert_close(autocorrelation(x), expected)


def test_only_order_counts() -> None:
    x = autoregressive(4, 200, 0.5)
    assert ess_bulk(x.exp()) == ess_bulk(x)
    assert ess_tail(3 * x - 1) == pytest.approx(ess_tail(x))


def test_rhat_sees_chains_that_differ_in_place_in_scale_or_over_time() -> None:
    x = autoregressive(4, 200, 0.0)
    assert rhat(x + torch.arange(4)[:, None]) > 1.2
    assert rhat(x * torch.tensor([1.0, 1, 1, 5])[:, None]) > 1.1
    assert rhat(x + torch.linspace(0, 3, 200)) > 1.1


def test_chains_that_stand_still_apart_never_agree() -> None:
    x = torch.arange(4.0)[:, None].expand(4, 50)
    assert rhat(x) == math.inf
    assert ess_bulk(x) < 8
    assert autocorrelation(x)[1:].tolist() == pytest.approx([1] * 49)


@pytest.mark.parametrize("estimator", [rhat, ess_bulk, ess_tail, autocorrelation])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.ones(4, 50), "alike"),
        (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), "4 draws or more"),
        (torch.tensor([[0.0, 1, 2, torch.nan]]), "NaN"),
        (torch.zeros(50), "one row a chain"),
    ],
)
def test_what_has_no_answer_is_refused(estimator: object, x: Tensor, words: str) -> None:
    with pytest.raises(Unmeasurable, match=words):
        estimator(x)  # type: ignore[operator]


def test_a_tied_upper_tail_has_no_effective_sample_size() -> None:
    with pytest.raises(Unmeasurable, match="alike"):
        ess_tail(autoregressive(4, 100, 0.0).clamp_max(0))
