import pytest
import torch

from ebmnist.errors import Unmeasurable
from ebmnist.inference.feature_density import FeatureDensity, fit_feature_density
from ebmnist.inference.gaussian_mixture import GaussianMixture


def draws(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two labels at ±2 along the first of three axes, with unit variance."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    x = torch.randn(n, 3, generator=generator)
    x[:, 0] += 4 * labels - 2
    return x, labels


def test_density_ratio_and_maximum_probability_of_two_known_gaussians() -> None:
    one = torch.ones(2, 2, dtype=torch.float64)
    bases = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    mixture = GaussianMixture(torch.tensor([0.5, 0.5], dtype=torch.float64), means, one, bases)
    density = FeatureDensity(torch.tensor([1.0, 1.0]).double(), torch.eye(2).double(), mixture)
    h = torch.tensor([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0]])  # 0, 1 and 3 from the middle
    negative_log, ratio, max_softmax = density.scores(h)
    assert ratio is not None
    p = torch.tensor([0.0, 2.0, 6.0], dtype=torch.float64).sigmoid()  # of the likelier label, log-odds 2 m d
    torch.testing.assert_close(max_softmax, -(-(1 - p).log()).log())
    torch.testing.assert_close(negative_log[0], 0.5 + torch.log(torch.tensor(2 * torch.pi)).double())
    torch.testing.assert_close(ratio[0], torch.tensor(0.5).double())  # log N(0; 0, 1) − log N(0; ±1, 1)


def test_a_fit_finds_the_density_it_was_drawn_from() -> None:
    x, labels = draws(8000)
    density = fit_feature_density(x, labels, draws(1000, 1)[0])
    far = torch.tensor([[-2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-2.0, 0.0, 5.0]])
    negative_log, ratio, max_softmax = density.scores(far)
    assert ratio is not None
    assert max_softmax is not None
    torch.testing.assert_close(negative_log[2] - negative_log[0], torch.tensor(12.5).double(), rtol=0.1, atol=0)
    assert abs(float(ratio[2] - ratio[0])) < 1  # five deviations off for all labels alike: 12.5 nats that cancel
    # ½·2² − log 2 more by p, ½·2²/5 less by p₀, whose variance along the first axis is 1 + 2².
    torch.testing.assert_close(ratio[1] - ratio[0], torch.tensor(2 - 0.6931 + 0.4).double(), rtol=0.1, atol=0)
    torch.testing.assert_close(max_softmax[0], -torch.tensor(8.0).double().log(), rtol=0.05, atol=0)  # log-odds 8
    assert max_softmax[1] > 0


def test_what_a_file_holds_is_what_was_fitted() -> None:
    density = fit_feature_density(*draws(500), draws(100, 1)[0])
    again = density.rounded()
    assert all(torch.equal(a, b) for a, b in zip(density.mixture[:4], again.mixture[:4], strict=True))
    assert torch.equal(density.projection, again.projection)


def test_one_label_has_no_probabilities_and_constants_no_density() -> None:
    x, labels = draws(500)
    assert fit_feature_density(x, torch.zeros_like(labels), x).scores(x)[1:] == (None, None)
    with pytest.raises(Unmeasurable, match="all the same"):
        fit_feature_density(torch.ones(50, 3), torch.zeros(50, dtype=torch.int64), x)


def test_directions_without_variance_are_left_out() -> None:
    x, labels = draws(500)
    x = torch.cat([x, torch.zeros(500, 2)], 1)
    assert fit_feature_density(x, labels, x).projection.shape == (5, 3)


def test_a_label_of_few_images_has_no_gaussian_of_its_own() -> None:
    x, labels = draws(500)
    labels[:3] = 7
    assert len(fit_feature_density(x, labels, x).mixture.weights) == 1
