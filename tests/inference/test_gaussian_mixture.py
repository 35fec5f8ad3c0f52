import pytest
import torch
from torch.distributions import MultivariateNormal

from ebmnist.errors import Unmeasurable
from ebmnist.inference.gaussian_mixture import fit_gaussian_mixture


def points(rng: torch.Generator, n: int = 500) -> torch.Tensor:
    return torch.randn(n, 3, generator=rng, dtype=torch.float64) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 0.2, 0.1], [0.0, 0.0, 2.0]], dtype=torch.float64
    )


def test_density_of_one_gaussian_is_that_of_its_moments(rng: torch.Generator) -> None:
    x = points(rng)
    expected = MultivariateNormal(x.mean(0), x.T.cov(correction=0)).log_prob(x)
    torch.testing.assert_close(fit_gaussian_mixture(x).log_density(x), expected)


def test_density_of_classes_is_the_mixture_of_theirs(rng: torch.Generator) -> None:
    x, labels = points(rng), torch.arange(500) % 4 // 3 * 2  # classes 0 and 2, three to one
    parts = [
        MultivariateNormal(rows.mean(0), rows.T.cov(correction=0)).log_prob(x).exp()
        for rows in (x[labels == 0], x[labels == 2])
    ]
    expected = (0.75 * parts[0] + 0.25 * parts[1]).log()
    torch.testing.assert_close(fit_gaussian_mixture(x, labels).log_density(x), expected)


def test_the_joint_densities_of_classes_sum_to_the_density(rng: torch.Generator) -> None:
    x, labels = points(rng), torch.arange(500) % 3
    mixture = fit_gaussian_mixture(x, labels)
    joint = mixture.log_joint(x)
    assert joint.shape == (500, 3)
    torch.testing.assert_close(joint.logsumexp(1), mixture.log_density(x))


def test_a_ridge_is_the_same_on_every_direction(rng: torch.Generator) -> None:
    x = points(rng)
    ridged = fit_gaussian_mixture(x)._replace(ridge=0.1)
    covariance = x.T.cov(correction=0)
    covariance += 0.1 * covariance.trace() / 3 * torch.eye(3)
    torch.testing.assert_close(ridged.log_density(x), MultivariateNormal(x.mean(0), covariance).log_prob(x))


def test_validation_chooses_next_to_no_ridge_where_data_abound_and_one_where_they_are_few(rng: torch.Generator) -> None:
    train, validation = points(rng, 20_000), points(rng, 20_000)
    assert fit_gaussian_mixture(train).with_best_ridge(validation).ridge <= 1e-4
    few = fit_gaussian_mixture(train[:3]).with_best_ridge(validation)  # a singular covariance
    assert few.ridge > 0
    assert few.log_density(validation).isfinite().all()


def test_constant_data_have_no_density() -> None:
    x = torch.zeros(5, 2, dtype=torch.float64)
    with pytest.raises(Unmeasurable, match="singular"):
        fit_gaussian_mixture(x).with_best_ridge(x)
