import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ebmnist.evaluation.detectors import ROUNDING, fit_components, kth_nearest, mahalanobis, reconstruction_error


def images(n: int, seed: int = 0, side: int = 4) -> torch.Tensor:
    """Draw correlated images whose last pixel is always black."""
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(side**2, side**2, generator=torch.Generator().manual_seed(9))
    x = torch.randn(n, side**2, generator=rng) @ mix
    x[:, -1] = 0
    return x.view(n, 1, side, side)


def test_mahalanobis_is_the_quadratic_form_with_the_inverse_covariance() -> None:
    train, x = images(500), images(20, 1)
    components = fit_components(train)
    flat = train.flatten(1).double()
    away = x.flatten(1).double() - flat.mean(0)
    inverse = torch.linalg.inv(torch.cov(flat.T) + ROUNDING * torch.eye(16))
    expected = torch.einsum("bi,ij,bj->b", away, inverse, away)
    found = mahalanobis(components.coordinates(x), components.eigenvalues)
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=1e-3)


def test_ink_where_training_never_had_any_is_far() -> None:
    components = fit_components(images(500))
    clean = images(20, 1)
    inked = clean.clone()
    inked[..., -1, -1] = 0.1
    near, far = (mahalanobis(components.coordinates(x), components.eigenvalues) for x in (clean, inked))
    torch.testing.assert_close(far - near, torch.full((20,), 0.1**2 / ROUNDING).double(), rtol=1e-2, atol=0.0)


@pytest.mark.parametrize("n_components", [1, 5])
def test_reconstruction_error_agrees_with_scikit_learn(n_components: int) -> None:
    train, x = images(500), images(20, 1)
    pca = PCA(n_components, svd_solver="full").fit(train.flatten(1).double().numpy())
    flat = x.flatten(1).double().numpy()
    expected = ((flat - pca.inverse_transform(pca.transform(flat))) ** 2).sum(1)
    found = reconstruction_error(fit_components(train).coordinates(x), n_components)
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-3, atol=1e-3)


def test_kth_nearest_agrees_with_scikit_learn_chunk_by_chunk() -> None:
    train, x = images(200), images(50, 1)
    search = NearestNeighbors(n_neighbors=5).fit(train.flatten(1).numpy())
    expected = torch.from_numpy(search.kneighbors(x.flatten(1).numpy())[0][:, -1])
    for rows in (7, 500):
        torch.testing.assert_close(kth_nearest(x, train, rows=rows), expected.float())


def test_a_copy_is_its_own_nearest() -> None:
    train = images(30)
    assert not kth_nearest(train, train, k=1).any()
