import math

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ebmnist.evaluation.ranking import aupr, auroc, delong, fpr_at_95, rank


def scores(seed: int, n: int = 300, m: int = 200, levels: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw two overlapping sets; with `levels`, most scores are tied."""
    rng = torch.Generator().manual_seed(seed)
    inside, outside = torch.randn(n, generator=rng), 0.7 + 1.5 * torch.randn(m, generator=rng)
    return (inside, outside) if levels is None else ((levels * inside).round(), (levels * outside).round())


@pytest.mark.parametrize("levels", [None, 3, 1])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn_ties_included(seed: int, levels: int | None) -> None:
    inside, outside = scores(seed, levels=levels)
    truth, values = [0] * len(inside) + [1] * len(outside), torch.cat([inside, outside]).numpy()
    false, true, _ = roc_curve(truth, values, drop_intermediate=False)
    assert auroc(inside, outside) == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    assert aupr(inside, outside) == pytest.approx(average_precision_score(truth, values), abs=1e-12)
    assert fpr_at_95(inside, outside) == pytest.approx(false[true >= 0.95][0], abs=1e-12)


def test_what_is_told_apart_wholly_is_perfect_and_the_reverse_is_worst() -> None:
    low, high = torch.linspace(0, 1, 30), torch.linspace(2, 3, 40)
    assert (auroc(low, high), aupr(low, high), fpr_at_95(low, high)) == (1, 1, 0)
    assert (auroc(high, low), fpr_at_95(high, low)) == (0, 1)


def test_all_ties_are_chance() -> None:
    inside, outside = torch.ones(60), torch.ones(20)
    assert (auroc(inside, outside), aupr(inside, outside), fpr_at_95(inside, outside)) == (0.5, 0.25, 1)


def test_one_outlier_among_digits_repeated_has_the_rank_of_that_outlier() -> None:
    inside = torch.arange(100.0)
    assert auroc(inside, torch.full((50,), 30.0)) == pytest.approx(0.305)  # above 30 of them, tied with one
    assert auroc(inside, torch.full((50,), 30.5)) == pytest.approx(0.31)


def test_large_energies_that_differ_by_little_are_not_tied() -> None:
    inside = 1e4 + torch.arange(20.0)
    assert auroc(inside, inside + 100) == 1


def test_delong_is_the_spread_of_the_auroc() -> None:
    values = torch.tensor([auroc(*scores(seed, 100, 60, levels=2)) for seed in range(1000)])
    errors = torch.tensor([delong(*scores(seed, 100, 60, levels=2)) for seed in range(1000)])
    # The standard deviation of 1,000 draws is known to 2.2 %.
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=4 * 0.022)


def test_every_estimate_has_the_size_of_its_spread() -> None:
    found = [rank(*scores(seed, 400, 400)) for seed in range(100)]
    for k, estimates in enumerate(zip(*found, strict=True)):
        values = torch.tensor([e.value for e in estimates])
        error = math.sqrt(sum(e.error**2 for e in estimates) / len(estimates))
        # To 7 % by the 100 draws; the jackknife of the quantile in FPR@95 is rougher.
        assert error == pytest.approx(float(values.std()), rel=0.5 if k == 2 else 0.3)
