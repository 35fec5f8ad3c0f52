import math

import pytest
import torch

from ebmnist.data.mnist import MNIST
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import evenly_spaced
from ebmnist.evaluation.feature_metrics import N_MIN, FeatureMetrics, digit_histogram, histogram_kl
from ebmnist.evaluation.feature_net import load_feature_net


@pytest.fixture(scope="module")
def feature_metrics() -> FeatureMetrics:
    return FeatureMetrics(load_feature_net(), MNIST().load().test.images[::25])  # 400


def test_the_test_images_measure_perfectly_against_themselves(feature_metrics: FeatureMetrics) -> None:
    seen = feature_metrics.extract(feature_metrics.images)
    metrics = {f.name: f for f in feature_metrics.metrics(seen, torch.Generator().manual_seed(0))}
    assert abs(metrics["Fréchet distance"].value) < 1e-6
    assert [metrics[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert metrics["density"].value == pytest.approx(1.2, abs=0.03)
    assert metrics["digit-histogram KL"].value == 0
    assert metrics["confident share"].value > 0.95


def test_every_figure_has_an_error(feature_metrics: FeatureMetrics) -> None:
    noisy = (
        feature_metrics.images + 0.3 * torch.rand(400, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    ).clamp(0, 1)
    metrics = feature_metrics.metrics(feature_metrics.extract(noisy), torch.Generator().manual_seed(0))
    assert all(f.error is not None and 0 <= f.error < math.inf for f in metrics)
    assert metrics[0].value > 10 * (metrics[0].error or math.inf) > 0


def test_too_few_images_are_refused(feature_metrics: FeatureMetrics) -> None:
    with pytest.raises(Unmeasurable, match=f"too few .* take {N_MIN} or more"):
        feature_metrics.extract(feature_metrics.images[: N_MIN - 1])


@pytest.mark.parametrize("spread", [0.0, 1e-4])
def test_constant_images_are_refused(feature_metrics: FeatureMetrics, spread: float) -> None:
    noise = torch.rand(300, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    with pytest.raises(Unmeasurable, match="300 samples are all but constant"):
        feature_metrics.extract(feature_metrics.images[:1] + spread * noise)


def test_a_collapse_to_a_few_images_is_measured_as_one(feature_metrics: FeatureMetrics) -> None:
    seen = feature_metrics.extract(feature_metrics.images[torch.arange(300) % 5])
    metrics = {f.name: f.value for f in feature_metrics.metrics(seen, torch.Generator().manual_seed(0))}
    assert metrics["precision"] == 1
    assert max(metrics["recall"], metrics["coverage"]) < 0.2
    assert metrics["Fréchet distance"] > 100


def test_nan_images_are_refused(feature_metrics: FeatureMetrics) -> None:
    images = feature_metrics.images.clone()
    images[7, 0, 0, 0] = torch.nan
    with pytest.raises(Unmeasurable, match="1 of 400 images hold NaN"):
        feature_metrics.extract(images)


def test_histogram_kl_by_hand() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.25, 0.25, 0.5]).double()
    assert histogram_kl(p, q) == pytest.approx(math.log(2))
    assert histogram_kl(p, p) == 0
    assert histogram_kl(q, p) == math.inf


def test_digit_histogram_counts_the_likeliest_digits() -> None:
    probabilities = torch.tensor([[0.1, 0.9, 0.0], [0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])
    assert digit_histogram(probabilities).tolist() == [0.25, 0.75, 0]


def test_spread_is_even_and_whole_when_all_are_asked_for() -> None:
    assert evenly_spaced(10, 10).tolist() == list(range(10))
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
