import math

import pytest
import torch

from ebmnist.evaluation.frechet import Moments, frechet_distance, frechet_error, leave_one_out_distances, moments
from ebmnist.inference.jackknife import jackknife


def random_moments(seed: int, dim: int = 6, rank: int | None = None) -> Moments:
    rng = torch.Generator().manual_seed(seed)
    factor = torch.randn(dim, rank or dim, generator=rng, dtype=torch.float64)
    return Moments(torch.randn(dim, generator=rng, dtype=torch.float64), factor @ factor.T)


def test_of_one_dimensional_gaussians_is_the_distance_of_means_and_deviations() -> None:
    a = Moments(torch.tensor([1.0]).double(), torch.tensor([[4.0]]).double())
    b = Moments(torch.tensor([-2.0]).double(), torch.tensor([[0.25]]).double())
    assert frechet_distance(a, b) == pytest.approx(3**2 + (2 - 0.5) ** 2)


def test_of_commuting_covariances_is_analytic() -> None:
    rng = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=torch.float64))
    p, q = (torch.rand(5, generator=rng, dtype=torch.float64) for _ in range(2))
    zero = torch.zeros(5, dtype=torch.float64)
    distance = frechet_distance(Moments(zero, (basis * p) @ basis.T), Moments(zero, (basis * q) @ basis.T))
    assert distance == pytest.approx(float((p.sqrt() - q.sqrt()).square().sum()))


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_matrix_square_root_of_scipy(seed: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    a, b = random_moments(seed), random_moments(seed + 10)
    root = linalg.sqrtm((a.cov @ b.cov).numpy()).real
    expected = (a.mean - b.mean).square().sum() + a.cov.trace() + b.cov.trace() - 2 * root.trace()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_is_symmetric_and_zero_to_itself_even_when_singular() -> None:
    a, b = random_moments(1, rank=2), random_moments(2, rank=3)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert abs(frechet_distance(a, a)) < 1e-9 * float(a.cov.trace())


def test_of_a_shifted_set_is_the_shift_squared() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.tensor([1.0, 2.0, 0.0, -2.0], dtype=torch.float64)
    assert frechet_distance(moments(x), moments(x + shift)) == pytest.approx(9.0)


def test_moments_are_the_unbiased_ones_in_double_precision() -> None:
    found = moments(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
    assert found.cov.dtype == torch.float64
    assert found.mean.tolist() == [1.0, 3.0]
    assert found.cov.tolist() == [[2.0, 4.0], [4.0, 8.0]]
    assert math.isclose(frechet_distance(found, found), 0.0, abs_tol=1e-12)


def test_the_error_is_the_jackknife_of_the_distance() -> None:
    rng = torch.Generator().manual_seed(3)
    x, b = 100 + torch.randn(67, 5, generator=rng, dtype=torch.float64), random_moments(4, dim=5)
    expected = jackknife(lambda rows: frechet_distance(moments(rows), b), x)
    assert frechet_error(x, b) == pytest.approx(expected, rel=1e-9)
    left_out = leave_one_out_distances(x, b, 67)
    assert float(left_out[2]) == pytest.approx(frechet_distance(moments(torch.cat([x[:2], x[3:]])), b), rel=1e-9)
