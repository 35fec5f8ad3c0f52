import pytest
import torch

from ebmnist.evaluation.manifold import manifold, neighbourhood


def gaussian(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=rng, dtype=torch.float64) + shift


def metrics(real: torch.Tensor, samples: torch.Tensor, k: int = 5) -> dict[str, float]:
    found = neighbourhood(manifold(real, k), manifold(samples, k))
    return {name: float(value.double().mean()) for name, value in found._asdict().items()}


def test_radii_are_distances_to_the_kth_other_point() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]]).double()
    assert manifold(points, 1).radii.tolist() == pytest.approx([1, 1, 2, 4])
    assert manifold(points, 2).radii.tolist() == pytest.approx([3, 2, 3, 6])


def test_rows_at_a_time_change_nothing() -> None:
    x, y = gaussian(53, 0), gaussian(31, 1)
    whole, parts = manifold(x), manifold(x, rows=7)
    torch.testing.assert_close(whole.radii, parts.radii)
    for a, b in zip(neighbourhood(whole, manifold(y)), neighbourhood(parts, manifold(y), rows=5), strict=True):
        torch.testing.assert_close(a, b)


def test_a_set_covers_itself() -> None:
    x = gaussian(200, 0)
    found = metrics(x, x)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    # Each ball holds its centre and its k nearest: (k + 1) / k.
    assert found["density"] == pytest.approx(1.2)


def test_far_apart_sets_share_nothing() -> None:
    assert set(metrics(gaussian(100, 0), gaussian(100, 1, shift=100)).values()) == {0.0}


def test_samples_of_one_mode_are_precise_but_neither_recall_nor_cover() -> None:
    real = torch.cat([gaussian(100, 0), gaussian(100, 1, shift=50)])
    found = metrics(real, gaussian(200, 2))
    assert found["precision"] > 0.8
    assert 0.3 < found["recall"] <= 0.5
    assert 0.3 < found["coverage"] <= 0.5


def test_expected_coverage_of_one_law_is_that_of_naeem_et_al() -> None:
    # For N = M → ∞, E[coverage] = 1 − 2⁻ᵏ and E[density] = 1 (Naeem et al. 2020, sec. 3.3).
    found = [metrics(gaussian(400, i), gaussian(400, 100 + i), k=3) for i in range(5)]
    assert sum(f["coverage"] for f in found) / 5 == pytest.approx(1 - 2**-3, abs=0.02)
    assert sum(f["density"] for f in found) / 5 == pytest.approx(1, abs=0.05)
