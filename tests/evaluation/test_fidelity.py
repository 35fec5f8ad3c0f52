import pytest
import torch
from torch import Tensor

from ebmnist.data.base import Dataset, Split
from ebmnist.data.mnist import MNIST
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.base import EvaluationContext, Metric, SectionResult
from ebmnist.evaluation.fidelity import Fidelity
from ebmnist.random import Rng
from ebmnist.sampling import Langevin, Sampler

N = 300


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Zeros and ones alone: two class Gaussians to fit instead of ten."""
    whole = MNIST().load()

    def first(split: Split, n: int) -> Split:
        mine = (split.labels < 2).nonzero()[:n, 0]
        return Split(split.images[mine], split.labels[mine])

    return Dataset("mnist 0 and 1", first(whole.train, 800), first(whole.validation, 10), first(whole.test, 500))


def flat(x: Tensor) -> Tensor:
    """An energy without a force: samples stay the noise they began as."""
    return 0 * x.flatten(1).sum(1)


def context(dataset: Dataset, energy: object = flat, **fields: object) -> EvaluationContext:
    kernel = Langevin(temperature=0.0, clip=None)
    return EvaluationContext(energy, kernel, 1, dataset, torch.device("cpu"))._replace(**fields)  # type: ignore[arg-type]


def rng() -> Rng:
    return Rng(0)


@pytest.fixture(scope="module")
def measured(dataset: Dataset) -> SectionResult:
    replay = dataset.train.images[:N].flip(0)
    return Fidelity(n=N, n_nearest=100).measure(context(dataset, replay=replay), rng())


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def test_noise_is_far_from_digits_and_the_baselines_lie_in_order(measured: SectionResult) -> None:
    baselines = by_name(measured.baselines)
    distances = [
        baselines[f"{name}: Fréchet distance"].value
        for name in ("real reference, training images", "binarised training images", "class Gaussians")
    ]
    distances.append(by_name(measured.metrics)["Fréchet distance"].value)
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0]


def test_real_images_reach_the_ceilings_and_noise_does_not(measured: SectionResult) -> None:
    metrics, baselines = by_name(measured.metrics), by_name(measured.baselines)
    for name in ("precision", "recall", "coverage"):
        assert baselines[f"real reference, training images: {name}"].value > 0.7
        assert metrics[name].value < 0.1


def test_every_figure_is_measured_for_every_baseline(measured: SectionResult) -> None:
    in_feature_space = [f.name for f in measured.metrics if "training image" not in f.name]
    sets = ("real reference, training images", "class Gaussians", "binarised training images", "replay buffer")
    assert {f"{s}: {name}" for s in sets for name in in_feature_space} <= set(by_name(measured.baselines))


def test_samples_are_drawn_from_noise_and_not_from_the_buffer(measured: SectionResult) -> None:
    assert measured.arrays["samples"].shape == (100, 1, 28, 28)
    assert abs(float(measured.arrays["samples"].mean()) - 0.5) < 0.01


def test_same_rng_same_figures_and_every_step_is_told(dataset: Dataset, measured: SectionResult) -> None:
    told: list[tuple[int, int]] = []
    watched = context(dataset, replay=dataset.train.images[:N].flip(0), progress=lambda *steps: told.append(steps))
    again = Fidelity(n=N, n_nearest=100).measure(watched, rng())
    assert again.metrics == measured.metrics
    assert again.baselines == measured.baselines
    assert told == [(1, 2), (2, 2)]  # two batches, 256 and the rest


def test_samples_are_the_faster_samplers_where_there_is_one(dataset: Dataset, measured: SectionResult) -> None:
    """No step of another kernel: the noise itself, in [0, 1], as `flat` leaves it; but its method names the sampler."""
    faster = Sampler(Langevin(step_size=0.5, temperature=0.0), 2)
    found = Fidelity(n=N, n_nearest=100).measure(
        context(dataset, replay=dataset.train.images[:N].flip(0), faster=faster), rng()
    )
    assert "2 steps from uniform noise (Langevin(step_size=0.5" in found.method
    assert found.metrics == measured.metrics


def test_an_energy_that_copies_training_images_is_caught(dataset: Dataset) -> None:
    bank = dataset.train.images[:N]

    def copies(x: Tensor) -> Tensor:
        """One step of ε²/2 = 1 goes from the noise of the first batches straight to training images."""
        return 0.5 * (x - bank[: len(x)]).square().flatten(1).sum(1)

    kernel = Langevin(step_size=2**0.5, temperature=0.0, clip=None)
    found = Fidelity(n=N, n_nearest=100).measure(context(dataset, copies, kernel=kernel), rng())
    metrics = by_name(found.metrics)
    assert metrics["nearest training image, median"].value < 1e-3
    assert metrics["closer to a training image than 99 % of test images"].value == 1
    assert by_name(found.baselines)["test images: nearest training image, median"].value > 1


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda x: x.square().flatten(1).sum(1), "all but constant"),
        (lambda x: x.sqrt().flatten(1).sum(1) * torch.nan, "300 of 300 images hold NaN"),
    ],
)
def test_a_dead_energy_is_unmeasurable_in_one_line(dataset: Dataset, energy: object, words: str) -> None:
    with pytest.raises(Unmeasurable, match=words) as caught:
        Fidelity(n=N).measure(context(dataset, energy, n_steps=10), rng())
    assert "\n" not in str(caught.value)


def test_too_few_samples_are_unmeasurable(dataset: Dataset) -> None:
    with pytest.raises(Unmeasurable, match="20 samples are too few"):
        Fidelity(n=20).measure(context(dataset), rng())
