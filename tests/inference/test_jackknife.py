import pytest
import torch

from ebmnist.inference.jackknife import jackknife


def test_of_a_mean_with_one_row_a_group_is_the_classical_standard_error() -> None:
    x = torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert jackknife(lambda rows: float(rows.mean()), x, n_groups=30) == pytest.approx(float(x.std()) / 30**0.5)


def test_tells_the_spread_between_independent_sets() -> None:
    rng = torch.Generator().manual_seed(1)

    def variance(rows: torch.Tensor) -> float:
        return float(rows.var())

    sets = torch.randn(200, 400, generator=rng, dtype=torch.float64)
    spread = float(torch.tensor([variance(x) for x in sets]).std())
    errors = torch.tensor([jackknife(variance, x) for x in sets[:50]])
    assert float(errors.mean()) == pytest.approx(spread, rel=0.15)
