import pytest
import torch

from ebmnist.evaluation.kernel_distance import kernel_distance, mmd2


def gaussian(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 8, generator=rng, dtype=torch.float64) + shift


def test_mmd_agrees_with_its_definition_summed_by_hand() -> None:
    x, y = gaussian(4, 0), gaussian(3, 1, shift=0.5)

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 8 + 1) ** 3)

    within_x = sum(k(x[i], x[j]) for i in range(4) for j in range(4) if i != j) / 12
    within_y = sum(k(y[i], y[j]) for i in range(3) for j in range(3) if i != j) / 6
    across = sum(k(a, b) for a in x for b in y) / 12
    assert float(mmd2(x, y)) == pytest.approx(within_x + within_y - 2 * across)


def test_mmd_is_unbiased_zero_between_sets_of_one_law() -> None:
    values = torch.stack([mmd2(gaussian(100, 2 * i), gaussian(100, 2 * i + 1)) for i in range(100)])
    assert abs(float(values.mean())) < 4 * float(values.std()) / 10
    assert (values < 0).any()


def test_of_a_set_with_itself_is_what_shared_points_make_it() -> None:
    """Subsets of one set of N share points: the mean is −2(mean k(x, x) − mean k(x, x'))/N, x' another point."""
    x, n = gaussian(1000, 0), 1000
    found = kernel_distance(x, x, torch.Generator().manual_seed(1), n_subsets=50, subset_size=200)
    k = (x @ x.T / 8 + 1) ** 3
    itself = float(k.diagonal().mean())
    another = float(k.sum() - k.diagonal().sum()) / (n * (n - 1))
    assert abs(found.mean + 2 * (itself - another) / n) < 4 * found.std / 50**0.5


def test_tells_a_shift_and_approaches_the_full_estimate() -> None:
    x, y = gaussian(800, 0), gaussian(800, 1, shift=0.5)
    found = kernel_distance(x, y, torch.Generator().manual_seed(2), n_subsets=20, subset_size=200)
    assert found.mean > 3 * found.std
    assert found.mean == pytest.approx(float(mmd2(x, y)), abs=3 * found.std)


def test_same_rng_same_metric() -> None:
    x, y = gaussian(100, 0), gaussian(100, 1)
    first, second = (kernel_distance(x, y, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first == second
