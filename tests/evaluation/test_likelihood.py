import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.energies.convnet import ConvNet
from ebmnist.errors import BadInput, Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.likelihood import Likelihood, in_float32
from ebmnist.evaluation.likelihood_metrics import assessment
from ebmnist.inference.annealing import LogMean
from ebmnist.inference.bidirectional import Bracket
from ebmnist.random import Rng
from ebmnist.sampling.langevin import Langevin

SCALE, D = 0.1, 16
SMALL = Likelihood(n_rungs=60, n_chains=40, n_burn=40, n_heating=8, n_fit=2000, n_test=500)


def reference_precision(x: Tensor) -> Tensor:
    """E = ½ · 10⁻³ Σ ((x − ½)/0.1)², so the data below were made at T = 10⁻³."""
    return 0.5e-3 * ((x - 0.5) / SCALE).square().flatten(1).sum(1)


def shifted(x: Tensor) -> Tensor:
    """The reference_precision away from the data, so that the base is far from the target."""
    return reference_precision(x - 0.15)


def rippled(x: Tensor) -> Tensor:
    """The reference_precision with walls that chains from the data do not climb."""
    return reference_precision(x) + 3e-3 * (100 * x).sin().flatten(1).sum(1)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Pixels N(½, 0.1²) in bytes, 4 × 4 of them."""
    rng = torch.Generator().manual_seed(3)

    def draw(n: int) -> Split:
        x = (0.5 + SCALE * torch.randn(n, 1, 4, 4, generator=rng)).clamp(0, 1)
        return Split((255 * x).round() / 255, torch.arange(n) % 2)

    return Dataset("reference_precision", draw(2000), draw(500), draw(500))


def context(dataset: Dataset, energy: object = reference_precision) -> EvaluationContext:
    return EvaluationContext(energy, Langevin(), 1, dataset, torch.device("cpu"))  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


@pytest.fixture(scope="module")
def measured(dataset: Dataset) -> SectionResult:
    return SMALL.measure(context(dataset), rng())


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def test_the_temperature_of_the_data_is_found(measured: SectionResult) -> None:
    found = by_name(measured.metrics)["temperature"]
    assert found.error is not None
    assert found.value == pytest.approx(1e-3, abs=4 * found.error)


def test_both_ends_hold_the_exact_normaliser(measured: SectionResult) -> None:
    metrics = by_name(measured.metrics)
    scale = (
        SCALE * (metrics["temperature"].value / 1e-3) ** 0.5
    )  # of p at the fitted temperature; the box cuts off 6e-7
    truth = D * math.log(scale * math.sqrt(2 * math.pi) * math.erf(0.5 / scale / 2**0.5))
    lower, upper = metrics["log Z, AIS"], metrics["log Z, reverse AIS"]
    assert lower.error is not None
    assert upper.error is not None
    assert lower.value - 4 * lower.error <= truth <= upper.value + 4 * upper.error
    assert upper.value - lower.value == pytest.approx(metrics["bracket width"].value, abs=1e-6)
    assert abs(metrics["bracket width"].value) < 1


def test_the_likelihood_is_that_of_the_gaussian_the_data_are(measured: SectionResult) -> None:
    entropy = D * (0.5 + math.log(SCALE * math.sqrt(2 * math.pi)))
    metrics, baselines = by_name(measured.metrics), by_name(measured.baselines)
    for metric in (
        metrics["log-likelihood at most"],
        metrics["log-likelihood at least"],
        baselines["Gaussian: log-likelihood"],
        baselines["class Gaussians: log-likelihood"],
    ):
        assert metric.value == pytest.approx(-entropy, abs=0.6)
        bits = {**metrics, **baselines}[
            metric.name.replace("log-likelihood", "bits per dimension")
            .replace("at most", "at LEAST")
            .replace("at least", "at most")
            .replace("LEAST", "least")
        ]
        assert bits.value == pytest.approx(8 - metric.value / D / math.log(2))
    assert baselines["uniform: bits per dimension"].value == 8
    assert all(metric.note == "" or "says nothing" not in metric.note for metric in measured.metrics)
    assert "within the tolerance" in measured.method


@pytest.mark.parametrize(
    ("energy", "words"),
    [(shifted, "the bracket is {} nats wide"), (rippled, "the ends of the bracket cross by {} nats")],
)
def test_ends_further_apart_than_the_tolerance_say_that_they_say_nothing(
    dataset: Dataset, energy: object, words: str
) -> None:
    found = replace(SMALL, n_rungs=2, tolerance=1.0).measure(context(dataset, energy), rng())
    metrics = by_name(found.metrics)
    width = metrics["bracket width"]
    words = words.format(f"{abs(width.value):.0f} ± {width.error:.0f}")
    for name in ("bracket width", "log Z, AIS", "log Z, reverse AIS", "log-likelihood at least"):
        assert words in metrics[name].note
        assert ": this says nothing" in metrics[name].note
    assert f"a bound, no estimate: {words}" in metrics["log-likelihood at most"].note
    assert f"not meaningful: {words}" in found.method


@pytest.mark.parametrize(
    ("width", "error", "ess", "said"),
    [
        (25.0, 12.0, 30.0, ""),
        (-25.0, 12.0, 30.0, ""),  # two ends that are one number cross half the time
        (25.0, 76.0, 30.0, "the bracket is 25 ± 76 nats wide"),
        (-25.0, 13.0, 30.0, "the ends of the bracket cross by 25 ± 13 nats"),
        (51.0, 0.0, 30.0, "the bracket is 51 ± 0 nats wide"),
        (25.0, math.nan, 30.0, "the bracket is 25 ± nan nats wide"),
        (1.0, 1.0, 4.9, "the ends rest on 30.0 and 4.9 effective chains"),
        (60.0, 1.0, 1.0, "the bracket is 60 ± 1 nats wide and the ends rest on 30.0 and 1.0 effective chains"),
    ],
)
def test_a_bracket_is_judged_by_its_width_its_error_and_the_chains_it_rests_on(
    width: float, error: float, ess: float, said: str
) -> None:
    ends = LogMean(0.0, 0.0, 30.0), LogMean(width, error, ess)
    assert assessment(Bracket(*ends, 0.5, torch.zeros(32, 1), torch.zeros(32, 1)), 50.0) == said


def test_same_rng_same_metrics(dataset: Dataset, measured: SectionResult) -> None:
    again = SMALL.measure(context(dataset), rng())
    assert again.metrics == measured.metrics
    assert again.baselines == measured.baselines


def test_arrays_hold_what_a_picture_needs(measured: SectionResult) -> None:
    assert measured.arrays["annealed"].shape == measured.arrays["starts"].shape == (40, 1, 4, 4)
    assert 0 < float(measured.arrays["annealed"].min()) < float(measured.arrays["annealed"].max()) < 1
    assert measured.arrays["betas"].shape == measured.arrays["gaps"].shape


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda x: -reference_precision(x), "no lower energy than uniform noise"),
        (lambda x: reference_precision(x) * torch.nan, "not finite"),
    ],
)
def test_a_dead_energy_is_unmeasurable_in_one_line(dataset: Dataset, energy: object, words: str) -> None:
    with pytest.raises(Unmeasurable, match=words) as caught:
        SMALL.measure(context(dataset, energy), rng())
    assert "\n" not in str(caught.value)


def test_too_few_images_are_unmeasurable(dataset: Dataset) -> None:
    few = dataset._replace(validation=Split(*(part[:9] for part in dataset.validation)))
    with pytest.raises(Unmeasurable, match="a split has fewer than 40 images"):
        SMALL.measure(context(few), rng())


@pytest.mark.parametrize("fields", [{"n_chains": 19}, {"n_rungs": 1}, {"n_heating": 0}, {"tolerance": 0.0}])
def test_a_size_out_of_range_is_bad_input(fields: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="likelihood: n_"):
        replace(SMALL, **fields)  # type: ignore[arg-type]


def test_float32_is_a_copy_and_functions_pass_through() -> None:
    energy = ConvNet(width=4, precision="bf16")
    exact = in_float32(energy)
    assert isinstance(exact, ConvNet)
    assert (energy.precision, exact.precision) == ("bf16", "fp32")
    x = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(exact(x), energy(x), atol=0.02, rtol=0.02)
    assert in_float32(reference_precision) is reference_precision
